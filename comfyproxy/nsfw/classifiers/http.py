"""A classifier behind an address: it is sent a JPEG and answers with JSON.

POST <url>  Content-Type: image/jpeg        at most 512 pixels long
200         {"score": 0.02, "label": "drawing", "version": "3"}    the latter two may be missing
"""

import json
import time
from io import BytesIO
from typing import Any, Final

import requests
from PIL import Image

from comfyproxy.nsfw.errors import ClassifierBroken, ClassifierChanged, ClassifierFailed
from comfyproxy.nsfw.score import Score

_SIDE: Final = 512
_QUALITY: Final = 90
# For each read; and for the whole answer, which may come byte by byte.
_TIMEOUTS: Final = (5.0, 10.0)
_WHOLE_SECONDS: Final = 20.0
_MAX_ANSWER: Final = 65_536
_MAX_CHARS: Final = 100


class HttpClassifier:
    """Asks the service once when it is made, for its version.

    Raises:
        ClassifierBroken: no usable answer
    """

    name = "http"

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        # No proxies, no .netrc: the picture goes where the operator said and nowhere else.
        self._session.trust_env = False
        try:
            self.version = self._ask(Image.new("RGB", (64, 64), "grey"))[1]
        except ClassifierFailed as error:
            raise ClassifierBroken(f"The classifier's service gives no answer: {error}") from error

    def classify(self, image: Image.Image) -> Score:
        """See `Classifier`.

        Raises:
            ClassifierChanged: it is another version by now
        """
        score, version = self._ask(image)
        if version != self.version:
            raise ClassifierChanged(f"The service is version {version}, was {self.version}.")
        return score

    def _ask(self, image: Image.Image) -> tuple[Score, str]:
        try:
            answer = json.loads(self._post(_jpeg(image)))
        except (ValueError, RecursionError):
            raise ClassifierFailed("It answered with what is no JSON.") from None
        if not isinstance(answer, dict):
            raise ClassifierFailed("It answered with what is no object.")
        value = answer.get("score")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ClassifierFailed("It answered without a score from 0 to 1.")
        return Score(float(value), _text(answer.get("label"))), _text(answer.get("version"))

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "image/jpeg", "Accept": "application/json"}
        deadline = time.monotonic() + _WHOLE_SECONDS
        try:
            with self._session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=_TIMEOUTS,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code != 200:
                    raise ClassifierFailed(f"It answered with status {response.status_code}.")
                found = b""
                for chunk in response.iter_content(4096):
                    found += chunk
                    if len(found) > _MAX_ANSWER or time.monotonic() > deadline:
                        raise ClassifierFailed("Its answer is too long, or too slow.")
                return found
        except (requests.RequestException, OSError, ValueError) as error:
            # Not its text: it may hold the address, and with it a password.
            raise ClassifierFailed(f"It cannot be asked ({type(error).__name__}).") from None


def _jpeg(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    with BytesIO() as buffer:
        small.save(buffer, format="JPEG", quality=_QUALITY)
        return buffer.getvalue()


def _text(value: Any) -> str:
    return value[:_MAX_CHARS] if isinstance(value, str) else ""
