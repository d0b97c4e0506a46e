"""What can be measured side by side: each kind of case is a class of its parameters, with a method that gives rows.

Nothing is imported here: `tasks`, which is in this package, measures how long imports take.
"""
