"""HTTP for many clients: OpenAI's API and its neighbours, several models, safe by default.

``protocols/`` translates (pure), ``routes/`` are thin, ``service.py`` is what they use.
"""
