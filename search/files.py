"""What the files are called that a finished job leaves. Torch-free."""

from search.pretrained import PRETRAINED

ARCHITECTURE = "architecture.json"
WEIGHTS = "weights.safetensors"
MODEL = "model.onnx"  # as searched: rounded where the network rounds
MODEL_FLOAT = "model-float.onnx"
MODEL_TFLITE = "model.tflite"
EVIDENCE = "evidence.json"
REPORT = "report.json"

__all__ = ["ARCHITECTURE", "EVIDENCE", "MODEL", "MODEL_FLOAT", "MODEL_TFLITE", "PRETRAINED", "REPORT", "WEIGHTS"]
