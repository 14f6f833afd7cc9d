"""From drawn hypotheses to errors: metrics, aggregation, scores of clips and of actions."""
