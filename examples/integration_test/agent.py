"""The program under test: an agent that asks a model, and traces that it did."""

from __future__ import annotations

from opentelemetry import trace

tracer = trace.get_tracer("greeter")


def answer(question: str, tracer: trace.Tracer = tracer) -> str:
    """The model's answer to `question`; a real agent would ask one."""
    with tracer.start_as_current_span("invoke_agent greeter"):
        with tracer.start_as_current_span("chat gpt-4o") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.request.model", "gpt-4o")
            span.set_attribute("gen_ai.prompt", question)
            text = f"You asked: {question}"
            span.set_attribute("gen_ai.completion", text)
            span.set_attribute("gen_ai.usage.output_tokens", len(text.split()))
        return text


if __name__ == "__main__":
    from ajolo_fanout import install_from_config

    install_from_config()
    print(answer("How do I make mole?"))
