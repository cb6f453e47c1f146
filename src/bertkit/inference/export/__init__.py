"""Models for other runtimes: graphs that are written node by node from a folder's configuration and weights.

`write_graph.write_graph` makes one file, which the backends use too; `folder.export` a whole folder for other readers.
"""
