"""The text of tokens that arrive one by one, no character broken, and all pieces together the same as the whole.

    text = TokenText(decode, context=prompt)
    text.feed(7)    # ""   half of "é"
    text.feed(9)    # "é"
    text.flush()    # what was still held back: half a character, shown as U+FFFD

Two things make it more than a decode of each token: a character may be spread over several tokens, and some
tokenizers (Llama's) write a token with its blank only where something stands before it.
"""

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"  # what every tokenizer's decode shows for bytes that are no character yet


class TokenText:
    """Turns tokens into pieces of text.

    Args:
        decode: the text of a list of token ids.
        context: the tokens before the first one, whose text is not given out.
    """

    def __init__(self, decode: Callable[[list[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tokens = list(context)  # from the last boundary of two characters but one
        self._shown = len(self._tokens)  # so many of them are given out
        self._before = decode(self._tokens)

    def feed(self, token: int) -> str:
        """What may be shown now that `token` has arrived; empty while a character is not whole."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        if text.endswith(UNFINISHED) or len(text) <= len(self._before):
            return ""
        piece = text[len(self._before) :]
        self._tokens = self._tokens[self._shown :]
        self._shown = len(self._tokens)
        self._before = self._decode(self._tokens)
        return piece

    def flush(self) -> str:
        """What was held back, when no more tokens come."""
        return self._decode(self._tokens)[len(self._before) :]
