"""Types of what `contract.py` holds. The build writes that file from `contract.py.j2`."""

from typing import Literal, TypedDict

class ImageInput(TypedDict):
    """A picture: see `preprocess.py` for what is done to it, in which order."""

    kind: Literal["image"]
    name: str
    size: list[int]  # height and width
    layout: Literal["NCHW", "NHWC"]
    channels: Literal["RGB", "BGR", "L"]
    resize: Literal["stretch", "shorter-side", "letterbox"]
    resize_to: int | None
    pad_value: int
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    antialias: bool
    value_range: list[float]
    mean: list[float]
    std: list[float]
    dtype: str

class AudioInput(TypedDict):
    """Sound: samples of one channel, from -1 to 1."""

    kind: Literal["audio"]
    name: str
    sample_rate: int  # in Hz
    shape: list[int | str]  # batch dimension included; the last is time
    hop: int | None  # new samples a call
    dtype: str

class TextInput(TypedDict):
    """What a tokenizer makes of a text: see `text.py`."""

    kind: Literal["text"]
    name: str
    shape: list[int | str]  # batch dimension included; the last is the position
    dtype: str
    part: Literal["ids", "mask", "types"]
    tokenizer: str  # empty where the tokens are made elsewhere
    special_tokens: bool
    truncate: bool
    pad_id: int

class TensorInput(TypedDict):
    """A tensor made ready elsewhere."""

    kind: Literal["tensor"]
    name: str
    shape: list[int | str]  # batch dimension included; a name stands for a free dimension
    dtype: str

class Output(TypedDict):
    """One output tensor."""

    kind: Literal[
        "classification",
        "class",  # the number of the best class alone
        "binary",
        "multilabel",
        "detection",
        "segmentation",
        "sequence",
        "embedding",
        "regression",
        "tensor",
    ]
    name: str
    activation: Literal["none", "softmax", "sigmoid"]  # still to be applied to get scores
    threshold: float | None  # least score that counts
    box_format: Literal["xyxy", "xywh", "cxcywh"] | None  # of the output that holds boxes
    box_units: Literal["pixels", "relative"]
    iou_threshold: float
    units: str

class State(TypedDict):
    """An output of one call that is an input of the next."""

    input: str
    output: str
    initial: float  # every value in the first call

class Contract(TypedDict):
    """Inputs and outputs in the order in which the model takes and gives them."""

    schema_number: int
    inputs: list[ImageInput | AudioInput | TextInput | TensorInput]
    outputs: list[Output]
    state: list[State]

NAME: str
COMMAND: str
DEVICE: str
MODEL: str
LABELS: str
GOLDEN_PICTURE: str
GOLDEN_INPUTS: str
GOLDEN_FLOAT_OUTPUTS: str
GOLDEN_HOST_OUTPUTS: str
FORMAT: str
THREADS: int
TOLERANCE: float
CONTRACT: Contract
TOP_SCORE_EDGES: list[float]
INPUT_MEAN_EDGES: list[float]
