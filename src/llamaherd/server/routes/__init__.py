"""The paths of the server, a file for each protocol. They parse, translate, call and send.

``service.py`` shows what a route looks like. A file of this folder has a ``FAMILY``; the families
are listed in ``app.py``.
"""
