"""Keep one stack's routes in place while its workers come and go.

A look reads EC2 and judges (`judgement`); the watcher acts on it (`watcher`), and is
operated by its logs, its metrics and its health (`operation`).
"""
