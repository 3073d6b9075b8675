"""Crops in LiteLLM: a guardrail for its proxy, and its functions in code.

In the proxy's config, as in `examples/litellm/config.yaml`:

    guardrails:
      - guardrail_name: cropzoom
        litellm_params:
          guardrail: cropzoom.litellm.CropZoomGuardrail
          mode: pre_call
          default_on: true

In code: `completion = zoomed(litellm.completion)`.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from litellm.integrations.custom_guardrail import CustomGuardrail

from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.dialects import DIALECTS, Endpoint
from cropzoom.clients.refusals import is_refusal
from cropzoom.clients.threads import call_in_thread
from cropzoom.cropper import Cropper, default_cropper, load_cropper
from cropzoom.errors import OptionsError
from cropzoom.options import ZoomOptions, options_of
from cropzoom.report import ZoomReport
from cropzoom.zoom import Zoom

logger = logging.getLogger("cropzoom")

_Function = TypeVar("_Function", bound=Callable[..., Any])
# How LiteLLM calls its calls.
_ENDPOINTS: Mapping[str, Endpoint] = {
    "completion": "chat/completions",
    "acompletion": "chat/completions",
    "responses": "responses",
    "aresponses": "responses",
    "anthropic_messages": "messages",
    "aanthropic_messages": "messages",
    # litellm.anthropic.messages
    "create": "messages",
    "acreate": "messages",
}
# What its proxy puts beside a request's own fields.
_NOT_OF_BODY = {
    "litellm_call_id",
    "litellm_logging_obj",
    "litellm_metadata",
    "metadata",
    "proxy_server_request",
    "secret_fields",
}
# What its router says of an attempt that failed is the name of an error, not a status.
_STATUS = {
    "BadRequestError": 400,
    "ContextWindowExceededError": 400,
    "UnprocessableEntityError": 422,
    "InternalServerError": 500,
}
_MOST_CALLS = 1024
_RETRY = (
    "a server refused a request with its crops, and LiteLLM passed that on; have it sent again "
    "without them: router_settings: {retry_policy: {BadRequestErrorRetries: 2}}"
)


class CropZoomGuardrail(CustomGuardrail):
    """Adds crops to the requests of LiteLLM's proxy, in chat completions, responses and messages.

    A request that a server refuses because of its crops goes out once more as the caller made it
    where the router's retry policy lets bad requests be sent again. Nothing here raises.

    Args:
        cropper: name or folder of a cropper, or one.
        options: how images are zoomed: `ZoomOptions`, or a mapping of its fields as in a config.
        on_report: called with the `ZoomReport` of every request.
        arguments: LiteLLM's own.

    Raises:
        CropperError: the cropper can't be loaded.
        OptionsError: an option makes no sense.
    """

    def __init__(
        self,
        cropper: str | Cropper = "nano",
        options: ZoomOptions | Mapping[str, Any] | None = None,
        on_report: Callable[[ZoomReport], object] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.cropzoom = _controller(cropper, options, on_report)
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._lock = threading.Lock()
        self._hinted = False

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Return a request with crops; itself where there is nothing to zoom."""
        endpoint = _ENDPOINTS.get(str(call_type))
        if endpoint is None:
            return data
        try:
            body = {name: value for name, value in data.items() if name not in _NOT_OF_BODY}
            server = "litellm", str(data.get("model"))
            until = self.cropzoom.deadline()
            call = await call_in_thread(self.cropzoom, body, endpoint, server, until)
            if not call.changed:
                call.publish()
                return data
            self._keep(data.get("litellm_call_id"), call)
            items = DIALECTS[endpoint].items
            return {**data, items: call.new[items]}
        except Exception as error:
            self.cropzoom.failed(error)
            return data

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Return what an attempt sends: after a refusal less, and in the end what was given."""
        endpoint = _ENDPOINTS.get(getattr(call_type, "value", str(call_type)))
        call = self._calls.get(str(kwargs.get("litellm_call_id")))
        if call is None or endpoint is None:
            return cast(
                "dict[str, Any] | None",
                await super().async_pre_call_deployment_hook(kwargs, call_type),
            )
        items = DIALECTS[endpoint].items
        if items not in call.body or items not in kwargs:
            return kwargs  # A request that LiteLLM has put into another form.
        status, words = _last_failure(kwargs)
        if status:
            call.refused(status, words)
        return {**kwargs, items: call.new[items]}

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Learn what a server takes."""
        call = self._leave(kwargs.get("litellm_call_id"))
        if call is not None:
            call.accepted()
            call.publish()

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Learn from a refusal that was not mended; the caller's error stays what it is."""
        call = self._leave(request_data.get("litellm_call_id"))
        if call is None:
            return
        status = getattr(original_exception, "status_code", 0)
        words = str(original_exception)
        # Nobody has seen the request be taken without crops, so only plain words count.
        if is_refusal(status, words) and is_refusal(500, words) and call.refused(status, words):
            call.accepted()
            if not self._hinted:
                self._hinted = True
                logger.warning(_RETRY)
        call.publish()

    def _keep(self, number: object, call: Call) -> None:
        with self._lock:
            self._calls[str(number)] = call
            if len(self._calls) > _MOST_CALLS:
                self._calls.popitem(last=False)

    def _leave(self, number: object) -> Call | None:
        with self._lock:
            return self._calls.pop(str(number), None)


def zoomed(
    function: _Function,
    cropper: str | Cropper = "nano",
    options: ZoomOptions | Mapping[str, Any] | None = None,
    on_report: Callable[[ZoomReport], object] | None = None,
    strict: bool = False,
) -> _Function:
    """Return one of LiteLLM's functions that adds crops to what it sends; otherwise the same.

    For `completion`, `acompletion`, `responses`, `aresponses`, `litellm.anthropic.messages.create`
    and `acreate`, and the methods of a `Router` of these names. Its attribute `cropzoom` holds
    options, overrides and reports, as of a wrapped client.

    Args:
        function: to call.
        cropper: name or folder of a cropper, or one.
        options: how images are zoomed.
        on_report: called with the `ZoomReport` of every call.
        strict: raise where something can't be zoomed, before anything is sent.

    Raises:
        OptionsError: it is no such function.
        CropperError: the cropper can't be loaded.
    """
    endpoint = _ENDPOINTS.get(getattr(function, "__name__", ""))
    if endpoint is None:
        raise OptionsError(f"zoomed() takes {', '.join(_ENDPOINTS)} of LiteLLM, not {function!r}")
    controller = _controller(cropper, options, on_report, strict)
    names = list(inspect.signature(function).parameters)
    items = DIALECTS[endpoint].items

    def body_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def server_of(body: dict[str, Any]) -> object:
        return "litellm", str(body.get("api_base")), str(body.get("model"))

    def until_of(body: dict[str, Any]) -> float | None:
        timeout = body.get("timeout")
        return controller.deadline(timeout if isinstance(timeout, (int, float)) else None)

    def sending(call: Call) -> dict[str, Any]:
        return {**call.body, items: call.new[items]} if call.changed else dict(call.body)

    def again(call: Call, error: Exception) -> bool:
        return call.changed and call.refused(getattr(error, "status_code", 0), str(error))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            body = body_of(args, kwargs)
            if items not in body:
                return await function(*args, **kwargs)
            call = await call_in_thread(controller, body, endpoint, server_of(body), until_of(body))
            try:
                while True:
                    try:
                        answer = await function(**sending(call))
                    except Exception as error:
                        if not again(call, error):
                            raise
                    else:
                        call.accepted()
                        return answer
            finally:
                call.publish()

        wrapped: Any = later
    else:

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            body = body_of(args, kwargs)
            if items not in body:
                return function(*args, **kwargs)
            call = controller.call(body, endpoint, server_of(body), until_of(body))
            try:
                while True:
                    try:
                        answer = function(**sending(call))
                    except Exception as error:
                        if not again(call, error):
                            raise
                    else:
                        call.accepted()
                        return answer
            finally:
                call.publish()

        wrapped = now
    wrapped.cropzoom = controller
    return cast("_Function", wrapped)


def _controller(
    cropper: str | Cropper,
    options: ZoomOptions | Mapping[str, Any] | None,
    on_report: Callable[[ZoomReport], object] | None,
    strict: bool = False,
) -> Controller:
    if options is not None and not isinstance(options, ZoomOptions):
        options = options_of(options, "options")
    if cropper == "nano":
        cropper = default_cropper()
    model = load_cropper(cropper) if isinstance(cropper, str) else cropper
    return Controller(Zoom(model, options), on_report=on_report, strict=strict)


def _last_failure(kwargs: Mapping[str, Any]) -> tuple[int, str]:
    """Return status and words of the attempt before this one; 0 where it was the first."""
    for name in ("litellm_metadata", "metadata"):
        metadata = kwargs.get(name)
        attempts = metadata.get("previous_models") if isinstance(metadata, Mapping) else None
        if attempts and isinstance(attempts[-1], Mapping):
            failure = attempts[-1]
            status = _STATUS.get(str(failure.get("exception_type")), 0)
            return status, str(failure.get("exception_string"))
    return 0, ""
