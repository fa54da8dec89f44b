"""Turning keys and values into bytes and back: the interfaces, a text and a JSON serializer."""

from kafka.serializer.abstract import Deserializer, Serializer
from kafka.serializer.default import DefaultSerializer
from kafka.serializer.json import JsonSerializer
from kafka.serializer.wrapper import DeserializeWrapper, SerializeWrapper

__all__ = [
    "DefaultSerializer",
    "DeserializeWrapper",
    "Deserializer",
    "JsonSerializer",
    "SerializeWrapper",
    "Serializer",
]
