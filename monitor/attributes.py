"""Span attribute names that the application side writes and the service reads.

``gen_ai.*`` names are those of the OpenTelemetry GenAI semantic conventions; where no convention exists we use our
own ``driftbell.*`` namespace and never mint a ``gen_ai.*`` name. This module holds constants only.
"""

SCOPE = "driftbell"
"""Instrumentation scope of every span that `driftbell.monitor` makes."""

# OpenTelemetry GenAI semantic conventions
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"  # s
INPUT_TOKENS = "gen_ai.usage.input_tokens"  # including cached
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"  # including reasoning
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
COST_AMOUNT = "gen_ai.usage.cost.amount"
COST_CURRENCY = "gen_ai.usage.cost.currency"
COST_SOURCE = "gen_ai.usage.cost.source"  # provider | local
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
CONVERSATION_ID = "gen_ai.conversation.id"
RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents"  # JSON array of {id, score, age_days}; never text
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_SCORE = "gen_ai.evaluation.score.value"  # 0..1
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
INPUT_MESSAGES = "gen_ai.input.messages"  # only for workflows whose content may be captured, redacted
OUTPUT_MESSAGES = "gen_ai.output.messages"
USER_ID = "user.id"  # hashed before it is set
ERROR_TYPE = "error.type"

# Ours: dimensions of a call
WORKFLOW = "driftbell.workflow"
SEGMENT = "driftbell.segment"
RISK_TIER = "driftbell.risk_tier"
OWNER = "driftbell.owner"

# Ours: what a body can say of its call
ATTEMPTS = "driftbell.attempts"
REFUSED = "driftbell.refused"
FORMAT_OK = "driftbell.format_ok"
FALLBACK = "driftbell.fallback"
STATUS = "driftbell.status"  # ok | error | timeout | rate_limited | cancelled
CITATIONS = "driftbell.citations.count"
TOOL_CALLS = "driftbell.tool_calls.count"
RETRIEVAL_COUNT = "driftbell.retrieval.count"
RETRIEVAL_MS = "driftbell.retrieval.duration_ms"
OUTPUT_LENGTH = "driftbell.output.length"  # characters
OUTPUT_LANGUAGE = "driftbell.output.language"  # ISO 639-1
OUTPUT_SKETCH = "driftbell.output.sketch"  # 16 hex digits, see monitor/fingerprint.py
PRICE_VERSION = "driftbell.cost.price_table_version"
DROPPED_SPANS = "driftbell.sdk.dropped_spans"

# Ours: reports that come after the call, each a span of its own with these names
OVERRIDE_SPAN = "driftbell.override"
FEEDBACK_SPAN = "driftbell.feedback"
EVALUATION_SPAN = "driftbell.evaluation"
OUTCOME_SPAN = "driftbell.outcome"
MANUAL_TASK_SPAN = "driftbell.manual_task"
MARKER_SPAN = "driftbell.marker"
ATTEMPT_SPAN = "driftbell.attempt"
"""A failed try that another try of the same call came after. It is no call: it has neither operation nor workflow."""

CALL_TRACE_ID = "driftbell.call.trace_id"  # hex; a report refers to its call by these two
CALL_SPAN_ID = "driftbell.call.span_id"
OVERRIDE_KIND = "driftbell.override.kind"  # accepted | edited | rejected | regenerated
EDIT_DISTANCE = "driftbell.override.edit_distance"  # 0..1
REVIEW_MS = "driftbell.override.review_ms"
FEEDBACK = "driftbell.feedback.value"  # -1 | 1
OUTCOME = "driftbell.outcome.value"
MARKER_KIND = "driftbell.marker.kind"
MARKER_VALUE = "driftbell.marker.value"
MARKER_TEXT = "driftbell.marker.text"
