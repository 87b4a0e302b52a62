"""Publishing a trained model on the Hub, so that it is heard, compared and cited by its name.

Reading order: `contents` (what of a checkpoint is published), `card` (what is said of it, in
`phrases`), `push` (a commit per revision).
"""
