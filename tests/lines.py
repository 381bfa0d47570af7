"""Lines of an export, as the exporter writes them."""

from exporter.chat import encoded, fill, line_template


def chat_line(
    *, system: str | None, title: str, description: str, dialect: str = "messages"
) -> bytes:
    """Return the line of a title and a description, LF included."""
    template = line_template(system, dialect)
    return fill(template, encoded(title), encoded(description))
