"""What is to be known of the scripts that people write in."""

__all__ = ["UNSPACED"]

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Letters of scripts without spaces between words, for a regular expression's ``[...]``.

Thai, Lao, Burmese, Khmer, Kana, Han.
"""
