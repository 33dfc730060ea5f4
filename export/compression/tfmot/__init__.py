"""What runs in a process of its own: TF-MOT, on Keras 2.

Importing TF-MOT makes a process use Keras 2 for good (it sets TF_USE_LEGACY_KERAS), so
nothing outside this package imports it, and nothing runs this package but
`python -m`.
"""
