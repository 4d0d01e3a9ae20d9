"""The smoke test of a roll-out: all of `bnfold check`, and of the `check.py` in each folder.

`bnfold.deployment.standalone` joins these modules into one file for machines that have Python 3.8
or later, numpy and onnxruntime and nothing else: so nothing else may be imported here.
"""
