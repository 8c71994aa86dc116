"""Opens videos with PyAV (ffmpeg) and decodes a few frames of each, spread over the whole.

Only containers and codecs that browsers play: ffmpeg knows hundreds, playlists that name other
files and addresses among them (https://ffmpeg.org/ffmpeg-formats.html, format_whitelist).
"""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from comfyproxy.nsfw.config import FrameLimits
from comfyproxy.nsfw.errors import Unscorable
from comfyproxy.nsfw.score import Reason
from comfyproxy.nsfw.stills import require_pixels
from comfyproxy.nsfw.views import views

_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,ogg,mpegts,mpeg,mpegvideo,flv"
_VIDEO_CODECS: Final = (
    "h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "theora", "mpeg1video", "mpeg2video",
    "mpegvideo", "mpeg4", "mjpeg", "h263", "flv", "prores", "ffv1", "png", "gif",
)  # fmt: skip
_AUDIO_CODECS: Final = ("aac", "mp3", "mp3float", "mp2", "ac3", "opus", "vorbis", "flac")
_OPTIONS: Final = {
    "protocol_whitelist": "file",
    "format_whitelist": _FORMATS,
    "codec_whitelist": ",".join(_VIDEO_CODECS + _AUDIO_CODECS),
}
# More tracks than anybody makes: which one a player chooses is its own affair.
_MAX_TRACKS: Final = 4
_SOUND: Final = ("audio", "subtitle")
# Packets read for one sample, mostly sound between the pictures; broken ones among them.
_MAX_PACKETS: Final = 20_000
# Later than the end of any video: seeking there finds the last key frame.
_THE_END_SECONDS: Final = 1_000_000
_BEGINNING: Final = -math.inf
# Half the distance that key frames usually have (x264's keyint is 250).
_NEAR_FRAMES: Final = 125
# By how much of its length a video may be longer or shorter than its header tells.
_ROUGHLY: Final = 0.2
_TURNS: Final = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def video_views(path: Path, limits: FrameLimits) -> Iterator[Image.Image]:
    """What stands for a video: frames at its beginning, its end and between.

    Raises:
        Unscorable: not a frame can be decoded, or they are too large, or it is sound only
        MemoryError
    """
    found = 0
    try:
        with av.open(f"file:{path.absolute()}", "r", options=dict(_OPTIONS)) as container:
            for index, track in enumerate(_tracks(container)):
                if index > 0:
                    container.seek(0)
                for frame in _Samples(container, track, limits):
                    found += 1
                    yield from views(_picture(frame, limits), limits.side, _turn(frame))
    except (Unscorable, MemoryError):
        raise
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        raise Unscorable(Reason.UNDECODABLE) from error
    if not found:
        raise Unscorable(Reason.UNDECODABLE)


def _tracks(container: InputContainer) -> list[VideoStream]:
    tracks = list(container.streams.video)
    if not tracks:
        is_sound = container.streams and all(each.type in _SOUND for each in container.streams)
        raise Unscorable(Reason.NOT_VISUAL if is_sound else Reason.UNDECODABLE)
    if len(tracks) > _MAX_TRACKS:
        raise Unscorable(Reason.TOO_LARGE)
    return tracks


def _picture(frame: VideoFrame, limits: FrameLimits) -> Image.Image:
    scale = max(1.0, max(frame.width, frame.height) / limits.side)
    width, height = (max(2, round(length / scale)) for length in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="rgb24")
    picture = small.to_image()
    assert isinstance(picture, Image.Image)
    return picture


def _turn(frame: VideoFrame) -> Image.Transpose | None:
    return _TURNS.get(frame.rotation % 360)


class _Samples:
    """Iterates over frames of a track: the first, some by their time, the last."""

    def __init__(self, container: InputContainer, track: VideoStream, limits: FrameLimits) -> None:
        self._container = container
        self._track = track
        self._limits = limits
        context = track.codec_context
        require_pixels((context.width, context.height), limits)
        # One core, and as few frames in memory as can be. The decoder itself refuses larger
        # frames than the header told of.
        context.thread_count = 1
        context.options = {"max_pixels": str(limits.pixels)}
        # The time of the latest sample; what cut the way to it short, if anything did.
        self._at = _BEGINNING
        self._cut: Reason | None = None
        # What comes behind the latest sample, once there is one.
        self._coming: Iterator[VideoFrame] | None = self._decoding()

    def __iter__(self) -> Iterator[VideoFrame]:
        first = self._decoded(_BEGINNING)
        if first is None:
            return
        yield first
        if self._limits.frames == 1:
            return
        start, end = first.time or 0.0, self._told_end()
        for _ in range(2):
            yield from self._between(start, end)
            last = self._last(end)
            if last is not None:
                self._at = last.time or 0.0
                yield last
            real = self._at
            if abs(real - end) <= max(_ROUGHLY * (end - start), 1.0):
                return
            # The header told too much or too little.
            end, self._coming = real, None

    def _between(self, start: float, end: float) -> Iterator[VideoFrame]:
        steps = self._limits.frames - 1
        before = self._at = start
        for step in range(1, steps):
            target = start + (end - start) * step / steps
            near = self._is_near(target)
            frame = self._decoded(target) if near else self._from(target, target)
            if frame is None:
                return
            self._at = target if frame.time is None else frame.time
            if self._at < before and self._cut is not None:
                # So far from its key frame that it cannot be reached: not even near this
                # sample's own part of the video.
                raise Unscorable(self._cut)
            yield frame
            before = target

    def _last(self, end: float) -> VideoFrame | None:
        if self._is_near(end):
            frame = self._decoded(math.inf)
            if self._cut is None:
                return frame
        # Some formats know nothing behind their end.
        for key_before in (_THE_END_SECONDS, end, end - 1):
            frame = self._from(key_before, math.inf)
            if self._cut is not None:
                raise Unscorable(self._cut)
            if frame is not None:
                return frame
        return None

    def _is_near(self, target: float) -> bool:
        """Whether decoding on is less work than to begin anew at a key frame, which in a short
        video may be its first frame."""
        rate = float(self._track.average_rate or 0)
        return self._coming is not None and 0 < (target - self._at) * rate <= _NEAR_FRAMES

    def _told_end(self) -> float:
        track = self._track
        start = float((track.start_time or 0) * (track.time_base or 0))
        if track.duration and track.time_base:
            return start + float(track.duration * track.time_base)
        return start + (self._container.duration or 0) / av.time_base

    def _from(self, key_before: float, until: float) -> VideoFrame | None:
        self._cut, self._coming = None, None
        try:
            self._container.seek(max(0, round(key_before * av.time_base)), backward=True)
        except (av.FFmpegError, OSError):
            return None
        self._coming = self._decoding()
        return self._decoded(until)

    def _decoded(self, until: float) -> VideoFrame | None:
        """The frame at a time, or the one that is reached before it becomes too much work; None
        where the track has ended."""
        deadline = time.monotonic() + self._limits.video_seconds
        steps, found = 0, None
        self._cut = None
        for frame in self._coming or ():
            require_pixels((frame.width, frame.height), self._limits)
            found = frame
            if frame.time is None or frame.time >= until:
                return found
            # What was passed for the sample before does not count again.
            steps += frame.time > self._at
            if steps >= self._limits.video_steps:
                self._cut = Reason.TOO_LARGE
            elif time.monotonic() > deadline:
                self._cut = Reason.TIMEOUT
            if self._cut is not None:
                return found
        self._coming = None
        return found

    def _decoding(self) -> Iterator[VideoFrame]:
        for number, packet in enumerate(self._container.demux(self._track)):
            if number >= _MAX_PACKETS:
                self._cut = Reason.TOO_LARGE
                return
            with suppress(av.error.InvalidDataError, av.error.EOFError):
                yield from packet.decode()
