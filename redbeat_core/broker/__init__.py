"""Publishes messages, whatever the broker: Redis, RabbitMQ, or another of kombu's."""
