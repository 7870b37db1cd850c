"""From renditions to requests and their outcomes: gate, batching, senders, redelivery."""
