"""The cloud side: data, training, candidates, rehearsal and evaluation."""
