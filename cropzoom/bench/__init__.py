"""Latency: what a prediction costs, stage by stage, and whether a faster one says the same.

`candidates.py` what is timed (`torch_ways.py`: torch models);
`cold.py` a fresh process; `measure.py` warm calls, interleaved; `stats.py` percentiles;
`results.py` the JSON; `baseline.py` old figures against new ones; `random_weights.py` real
architectures where no weights are at hand.
"""
