"""What each backend gets of this agent's traces, through a real OpenTelemetry Collector."""

import agent
from ajolo_fanout.testing import fanout


def test_tempo_gets_every_span_and_no_prompt(otel_collector):
    with fanout("tracing.toml", {"tempo": otel_collector.grpc_endpoint}) as harness:
        agent.answer("a secret recipe", harness.provider.get_tracer("greeter"))
        assert harness.flush()
        chat, root = otel_collector.wait_for_spans(2)
        assert (chat.name, chat.parent_id) == ("chat gpt-4o", root.span_id)
        assert root.resource["service.name"] == "greeter"
        assert chat.attributes["gen_ai.usage.output_tokens"] == 5
        assert "gen_ai.prompt" not in chat.attributes
        assert harness.spans("langfuse")[0].attributes["gen_ai.prompt"] == "a secret recipe"
