"""Tests of vreason_agent.evaluation and of the scripts in benchmarks/quality."""
