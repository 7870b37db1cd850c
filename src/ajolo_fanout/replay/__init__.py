"""Recorded spans through a plan, without threads: what preview, explain and the tests in the file stand on.

Decides and changes with the very functions that the running pipeline calls; knows nothing of any terminal.
"""
