"""Spans to OTLP bytes and back: encode, join, split, compress; read what an intake answers.

`encode` and `envelopes` make renditions, `request` joins them, `response` reads the answer, `decode` and
`json_form` show requests in plain Python for people and tests. Only the last three import
`opentelemetry.proto`, and only when called.
"""
