"""The methods of attribution by name."""

from collections.abc import Mapping

from jaxlm.attribution._attention_methods import ATTENTION, ATTENTION_ROLLOUT, VALUE_ZEROING
from jaxlm.attribution._deeplift import DEEPLIFT
from jaxlm.attribution._integrated_gradients import INTEGRATED_GRADIENTS
from jaxlm.attribution._method import Method
from jaxlm.attribution._occlusion import LEAVE_ONE_OUT, OCCLUSION
from jaxlm.attribution._saliency import INPUT_X_GRADIENT, SALIENCY
from jaxlm.attribution._smooth_grad import SMOOTH_GRAD

# In the order in which they are listed. A method joins by its row here.
_ROWS = (
    SALIENCY,
    INPUT_X_GRADIENT,
    INTEGRATED_GRADIENTS,
    DEEPLIFT,
    SMOOTH_GRAD,
    OCCLUSION,
    LEAVE_ONE_OUT,
    ATTENTION,
    ATTENTION_ROLLOUT,
    VALUE_ZEROING,
)
METHODS: Mapping[str, Method] = {row.name: row for row in _ROWS}
