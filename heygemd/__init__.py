"""heygemd: an unattended daemon that turns a voice and a face into a talking-head film."""

__version__ = "0.1.0"
