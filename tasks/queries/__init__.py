"""Answer queries: claim, decode, embed, search, finish; fetch linked pictures."""
