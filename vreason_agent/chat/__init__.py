"""What `ChatVReason` is made of: reading message blocks, running one call, splitting and wording its output.

Nothing here is public; the public names are in `vreason_agent.chat_model` and `vreason_agent.messages`.
"""
