"""Tests of the bundled model and its world."""
