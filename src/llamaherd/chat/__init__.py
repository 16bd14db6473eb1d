"""Messages to text, by the model's own Jinja template."""

from llamaherd.chat.template import ChatTemplate

__all__ = ["ChatTemplate"]
