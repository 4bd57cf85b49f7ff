"""Tests of vreason_agent.evaluation and of benchmarks/ladder.py."""
