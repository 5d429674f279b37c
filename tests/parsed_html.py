"""Reads HTML as a browser would, for tests of what is shown in a notebook."""

from html.parser import HTMLParser


class Parsed(HTMLParser):
    """The tags of some HTML with their attributes (`seen`), and its words (`text`); fails where one is not closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style" and data.strip():
            self.text.append(data.strip())

    @property
    def tags(self):
        return [tag for tag, _ in self.seen]


def shown_html(shown):
    """What a notebook gets of an object, with the text that must be there beside it."""
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == repr(shown)
    return bundle["text/html"]
