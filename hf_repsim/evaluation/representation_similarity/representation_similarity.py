"""What `evaluate.load` reads: how alike are two sets of frames, say of layers of two models?"""

from hf_repsim.evaluation import RepresentationSimilarity

__all__ = ["RepresentationSimilarity"]
