"""The text of tokens that arrive one by one: no character is broken, and all parts together equal the whole text.

    decoder = TokenText(decode, context=prompt)
    decoder.feed(7)    # ""   half of "é"
    decoder.feed(9)    # "é"
    decoder.flush()    # an incomplete character at the end, as U+FFFD

A decode of each token alone would not do: a character may be spread over several tokens, and some tokenizers (Llama's)
write a token's leading blank only after another token.
"""

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"  # what every tokenizer's decode shows for bytes that are not a whole character yet


class TokenText:
    """Converts tokens to text.

    Args:
        decode: the text of a list of token ids.
        context: the tokens before the first one, whose text is not returned.
    """

    def __init__(self, decode: Callable[[list[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tokens = list(context)  # those of the last returned text, and those after it
        self._returned = len(self._tokens)  # how many of them are returned
        self._returned_text = decode(self._tokens)

    def feed(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        if text.endswith(UNFINISHED) or len(text) <= len(self._returned_text):
            return ""
        added = text[len(self._returned_text) :]
        self._tokens = self._tokens[self._returned :]
        self._returned = len(self._tokens)
        self._returned_text = self._decode(self._tokens)
        return added

    def flush(self) -> str:
        """The rest, when no more tokens come."""
        return self._decode(self._tokens)[len(self._returned_text) :]
