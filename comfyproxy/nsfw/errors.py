"""What can go wrong when a file is scored. Pure."""

from comfyproxy.nsfw.score import Reason


class Unscorable(Exception):
    """There is no picture to score in a file; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class ClassifierBroken(Exception):
    """The classifier cannot be made as it is configured; `sentence` says why to the operator."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class ClassifierFailed(Exception):
    """The classifier gave no usable answer for one picture."""


class ClassifierChanged(ClassifierFailed):
    """It is another than it said it was: who scores must begin anew."""
