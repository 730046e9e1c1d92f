"""One page that holds an evaluation: every number, and the tissue behind it.

`collect` gathers what is shown, `page` draws it. The page opens from disk and asks nothing of the
network.
"""
