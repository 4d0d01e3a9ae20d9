"""Training: `train(TrainConfig(...)) -> Run`, `calibrate`, `evaluate_torch`; needs torch."""

from bnfold.training.calibration import Calibration, calibrate
from bnfold.training.checkpoint import Checkpoint
from bnfold.training.checkpoint import load as load_checkpoint
from bnfold.training.config import KEYS, Device, TrainConfig, override
from bnfold.training.crops import Crops
from bnfold.training.data import NAMES as DATA_NAMES
from bnfold.training.data import load as load_data
from bnfold.training.dataset import Dataset
from bnfold.training.ensemble import Ensemble, ensemble
from bnfold.training.evaluation import evaluate_torch
from bnfold.training.metrics import StepMetrics
from bnfold.training.presets import PRESETS, preset
from bnfold.training.run import Run, train
from bnfold.training.signals import Interrupted, Terminated
from bnfold.training.voting import Evaluation

__all__ = [
    "DATA_NAMES",
    "KEYS",
    "PRESETS",
    "Calibration",
    "Checkpoint",
    "Crops",
    "Dataset",
    "Device",
    "Ensemble",
    "Evaluation",
    "Interrupted",
    "Run",
    "StepMetrics",
    "Terminated",
    "TrainConfig",
    "calibrate",
    "ensemble",
    "evaluate_torch",
    "load_checkpoint",
    "load_data",
    "override",
    "preset",
    "train",
]
