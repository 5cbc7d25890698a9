"""Films in many containers: the frames of a stretch of time, their times, their place, their light, and their track.

Each frame holds its number as eight light or dark blocks, so a test knows which frames it got.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from dataset_sources import make, write_film
from inference_server.datasets.film_frames import hlg_light, picture_of, pq_light
from inference_server.datasets.film_reading import Reader
from inference_server.datasets.films import Scene, choose
from inference_server.datasets.settings import Settings
from inference_server.terminal.jobs import JobError

RATE = 24
COUNT = 96
X264 = {"bf": "3", "g": "30", "sc_threshold": "0", "preset": "veryfast", "crf": "12"}


def numbered(number: int) -> np.ndarray:
    """A picture uint8 (48, 256, 3) that holds its number."""
    picture = np.full((48, 256, 3), 90, np.uint8)
    for bit in range(8):
        picture[8:40, 8 + 30 * bit : 30 + 30 * bit] = 235 if number >> bit & 1 else 20
    return picture


def number_of(frame: av.VideoFrame) -> int:
    grey = frame.to_ndarray(format="gray")
    return sum(1 << bit for bit in range(8) if grey[16:32, 12 + 30 * bit : 26 + 30 * bit].mean() > 128)


def write(path: Path, form: str | None, codec: str, options: dict[str, str], numbers: range = range(COUNT)) -> Path:
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 256, 48, "yuv420p"
        stream.options = options
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


CONTAINERS = {
    "mp4": (None, "libx264", X264),
    "mov": (None, "libx264", X264),
    "mkv": (None, "libx264", X264),
    "flv": (None, "libx264", X264),
    "ts": ("mpegts", "libx264", X264),
    "open gop.ts": ("mpegts", "libx264", {**X264, "x264-params": "open-gop=1"}),
    "mpg": ("mpeg", "mpeg2video", {"bf": "2", "g": "15", "b": "4M"}),
    "avi": (None, "mpeg4", {"bf": "2", "g": "30", "qscale": "2", "b": "4M"}),
    "h264 in.avi": (None, "libx264", X264),
    "h264": ("h264", "libx264", X264),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_part_has_exactly_the_frames_of_its_time(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / f"film.{name.rpartition('.')[2]}", *CONTAINERS[name])
    for start, end in ((0.0, None), (2.3, 3.5), (1.0, 2.0), (0.03, 0.3), (3.9, None)):
        found = [(number_of(shown.frame), shown.time) for shown in Reader(path, start, end).frames()]
        # Matroska and Flash round times to milliseconds.
        right = [n for n in range(COUNT) if n / RATE >= start - 1e-3 and (end is None or n / RATE < end - 1e-3)]
        assert [number for number, _ in found] == right, (start, end)
        assert [time for _, time in found] == pytest.approx([n / RATE for n in right], abs=2e-3)


def test_takes_that_were_joined_play_one_after_another(tmp_path: Path) -> None:
    """Joined byte by byte, as copy /b does: the times begin again with each take."""
    plain = {**X264, "bf": "0", "g": "12"}
    takes = [write(tmp_path / f"{k}.ts", "mpegts", "libx264", plain, range(48 * k, 48 * k + 48)) for k in range(3)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(take.read_bytes() for take in takes))
    times = [shown.time for shown in Reader(joined, 0, None).frames()]
    assert times == pytest.approx([n / RATE for n in range(144)], abs=2e-3)
    part = [number_of(shown.frame) for shown in Reader(joined, 3, 5).frames()]
    assert part == list(range(72, 120))


def test_a_frame_that_is_shown_long_is_taken_for_what_it_is_on_the_screen() -> None:
    """A screen recording: something moves for a tenth of a second each second, then the picture stays."""
    times = [second + part for second in range(10) for part in (0.0, 0.1)]
    scene = [Scene(0, 20, 0, 0, 0.5)]

    def taken(rate: float) -> list[int]:
        return [frame for frame, _ in choose(scene, times, Settings(rate=rate))]

    assert taken(2) == list(range(19))  # at 9.5 s nothing is known to be there
    assert taken(1) == list(range(0, 20, 2))
    on_screen = sorted({max(i for i, t in enumerate(times) if t <= k * 0.7 + 1e-9) for k in range(14)})
    assert taken(1 / 0.7) == on_screen


@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0, 1),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (-1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, 1, -1, 0),
        (0, -1, 1, 0),
        (0, -1, -1, 0),
    ],
)
def test_a_display_matrix_turns_and_mirrors(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    corners = np.zeros((96, 128, 3), np.uint8)
    colours = {(-1, -1): (200, 30, 30), (1, -1): (30, 180, 30), (-1, 1): (30, 30, 200), (1, 1): (220, 220, 220)}
    for (x, y), colour in colours.items():
        corners[(y + 1) * 24 : (y + 1) * 24 + 48, (x + 1) * 32 : (x + 1) * 32 + 64] = colour
    path = write_film(tmp_path / "film.mp4", [corners] * 3)
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd") + 4
    place = header + (52 if data[header] == 1 else 40)
    a, b, c, d = matrix
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    picture = np.asarray(picture_of(next(Reader(path, 0, None).frames()))).astype(int)
    height, width = picture.shape[:2]
    assert (height, width) == ((96, 128) if a else (128, 96))
    for (x, y), colour in colours.items():
        right = (a * x + c * y, b * x + d * y)
        pixel = picture[height // 2 + right[1] * height // 4, width // 2 + right[0] * width // 4]
        assert np.abs(pixel - colour).max() < 12


def hdr_film(path: Path, transfer: str, number: int, levels: list[float]) -> Path:
    """Write stripes of grey with a signal in 10 bits, tagged as HDR."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p10le"
        tags = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited"
        stream.options = {"crf": "4", "x265-params": f"log-level=none:{tags}"}
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, number, 9, 1
        signal = np.repeat(np.array(levels), 160 // len(levels))
        for place in range(3):
            frame = av.VideoFrame(160, 96, "yuv420p10le")
            grey = np.broadcast_to(np.rint(64 + 876 * signal).astype(np.uint16), (96, 160))
            for plane, values in zip(frame.planes, (grey, np.full((48, 80), 512), np.full((48, 80), 512)), strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
                rows[: values.shape[0], : values.shape[1]] = values
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def pq_signal(light: float) -> float:
    """SMPTE ST 2084, equation 5.1."""
    power = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def test_hdr_films_are_brought_to_sdr(tmp_path: Path) -> None:
    """Diffuse white is white (BT.2408: 203 cd/m2, and 75 % of the HLG signal), the rest by light."""
    lights = [0, 5, 25, 100, 203]
    right = [round(255 * (light / 203) ** (1 / 2.4)) for light in lights]
    for name, number, levels in (
        ("smpte2084", 16, [pq_signal(light) for light in lights]),
        ("arib-std-b67", 18, [0, 0.0833, 0.2178, 0.5726, 0.75]),
    ):
        path = hdr_film(tmp_path / f"{number}.mp4", name, number, levels)
        picture = np.asarray(picture_of(next(Reader(path, 0, None).frames()))).astype(int)
        found = picture[60, 16::32, 1].tolist()
        assert found[0] == 0 and found[-1] >= 254
        if number == 16:
            assert found == pytest.approx(right, abs=2)
        assert np.ptp(picture[60], axis=1).max() <= 3  # grey stays grey


def test_the_curves_of_hdr_are_those_of_the_standards() -> None:
    lights = np.array([0.005, 1, 100, 203, 1000, 10000])
    assert pq_light(np.array([pq_signal(light) for light in lights])) == pytest.approx(lights, rel=1e-3)
    grey = hlg_light(np.array([[[0.75] * 3, [1.0] * 3, [0.5] * 3]]))[0]
    assert grey[:, 0] == pytest.approx([203, 1000, 1000 * (1 / 12) ** 1.2], rel=0.005)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_webm_is_kept(tmp_path: Path, codec: str) -> None:
    disc = np.hypot(*np.mgrid[-32:32, -48:48]) < 24
    rgba = np.zeros((64, 96, 4), np.uint8)
    rgba[disc] = (220, 60, 20, 255)
    path = tmp_path / "disc.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva420p"
        stream.options = {"auto-alt-ref": "0", "crf": "10", "b": "2M"}
        for place in range(3):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for shown in Reader(path, 0, None).frames():
        alpha = np.asarray(picture_of(shown))[..., 3]
        assert alpha[2, 2] == 0 and alpha[32, 48] == 255
    assert [round(shown.time, 3) for shown in Reader(path, 0.1, None).frames()] == [0.1, 0.2]


def test_the_first_of_two_tracks_is_the_film_and_a_cover_is_none(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        streams = []
        for side, flag in ((300, Disposition.attached_pic), (128, 0), (64, 0)):
            stream = container.add_stream("mjpeg" if flag else "libx264", rate=10)
            stream.width = stream.height = side
            stream.pix_fmt = "yuvj420p" if flag else "yuv420p"
            stream.disposition = Disposition(int(flag))
            streams.append(stream)
        for place in range(4):
            for stream in streams[1 if place else 0 :]:
                picture = np.full((stream.height, stream.width, 3), 40 + 20 * place, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = place, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    reader = Reader(path, 0, None)
    assert [shown.shape for shown in reader.frames()] == [(128, 128)] * 4
    assert reader.track == "track 0 of 2 with pictures, 128 x 128"


def test_a_song_is_no_film(tmp_path: Path) -> None:
    def song(path: Path, cover: bool) -> Path:
        with av.open(str(path), "w") as container:
            sound = container.add_stream("aac", rate=44100)
            sound.layout = "mono"
            art = container.add_stream("mjpeg") if cover else None
            if art:
                art.width = art.height = 64
                art.pix_fmt = "yuvj420p"
                art.disposition = Disposition.attached_pic
            for place in range(4):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                frame.sample_rate, frame.pts = 44100, place * 1024
                container.mux(sound.encode(frame))
            if art:
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), format="rgb24")
                frame.pts = 0
                container.mux(art.encode(frame))
                container.mux(art.encode())
            container.mux(sound.encode())
        return path

    with pytest.raises(JobError, match="is a song with a cover picture, not a film"):
        list(Reader(song(tmp_path / "cover.mp4", True), 0, None).frames())
    with pytest.raises(JobError, match="has sound only, no pictures"):
        list(Reader(song(tmp_path / "plain.m4a", False), 0, None).frames())


def test_an_interrupted_recording_is_called_so(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", *CONTAINERS["mp4"])
    data = path.read_bytes()
    path.write_bytes(data[: data.find(b"moov") - 4])
    with pytest.raises(JobError, match=r"recording was interrupted before its index was written\. A repair program"):
        list(Reader(path, 0, None).frames())


class Listener:
    """Listens on a port of this machine, and remembers whether anybody came."""

    def __init__(self) -> None:
        self.heard = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", self.port))
        for listened in (self._socket, self._datagrams):
            threading.Thread(target=self._listen, args=(listened,), daemon=True).start()

    def _listen(self, listened: socket.socket) -> None:
        while True:
            try:
                if listened is self._socket:
                    listened.accept()[0].close()
                else:
                    listened.recv(2048)
            except OSError:
                return
            self.heard += 1

    def close(self) -> None:
        self._socket.close()
        self._datagrams.close()


SCHEMES = [
    "async",
    "bluray",
    "cache",
    "concat",
    "concatf",
    "crypto",
    "data",
    "dtls",
    "fd",
    "ffrtmpcrypt",
    "ffrtmphttp",
    "file",
    "ftp",
    "gopher",
    "gophers",
    "hls",
    "http",
    "httpproxy",
    "https",
    "icecast",
    "ipfs",
    "ipns",
    "librtmp",
    "librtmpe",
    "libsmbclient",
    "libsrt",
    "libssh",
    "md5",
    "mmsh",
    "mmst",
    "pipe",
    "prompeg",
    "rtmp",
    "rtmpe",
    "rtmps",
    "rtmpt",
    "rtmpte",
    "rtmpts",
    "rtp",
    "rtsp",
    "rtsps",
    "sap",
    "sctp",
    "srtp",
    "subfile",
    "tcp",
    "tee",
    "tls",
    "udp",
    "udplite",
    "unix",
    "zmq",
]


def test_a_name_is_never_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose names are addresses, for every scheme that FFmpeg knows, are read as the films that they are."""
    monkeypatch.chdir(tmp_path)
    film = write_film(tmp_path / "film.mp4", [numbered(1)] * 3).read_bytes()
    listener = Listener()
    names = ["12:30 rehearsal.mp4", *(f"{scheme}:127.0.0.1:{listener.port}" for scheme in SCHEMES)]
    try:
        for name in names:
            Path(name).write_bytes(film)
            assert len(list(Reader(Path(name), 0, None).frames())) == 3
        folder = Path("http:") / "127.0.0.1:80"
        folder.mkdir(parents=True)
        (folder / "a.mp4").write_bytes(film)
        assert len(list(Reader(Path("http://127.0.0.1:80/a.mp4"), 0, None).frames())) == 3
        assert make(Path("12:30 rehearsal.mp4"), tmp_path / "set", "--size", 64, "--duplicates", 0) == 0
    finally:
        listener.close()
    assert listener.heard == 0


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    """Files that are lists of other files or addresses: FFmpeg would follow them."""
    listener = Listener()
    http = f"http://127.0.0.1:{listener.port}/a.ts"
    secret = write_film(tmp_path / "secret.mp4", [numbered(1)] * 3)
    lists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{http}\n#EXT-X-ENDLIST\n",
        "b.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
        "c.ffconcat": f"ffconcat version 1.0\nfile {http}\n",
        "d.ffconcat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "e.sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {listener.port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "f.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
        f'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{http}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
    }
    try:
        for name, text in lists.items():
            (tmp_path / name).write_text(text)
            with pytest.raises(JobError):
                list(Reader(tmp_path / name, 0, None).frames())
    finally:
        listener.close()
    assert listener.heard == 0


def test_every_scheme_is_in_the_list() -> None:
    """The list above holds every scheme of the FFmpeg that comes with PyAV."""
    known = "import av, ctypes, glob, os; print(av.__file__)"
    assert subprocess.run([sys.executable, "-c", known], check=True, capture_output=True, text=True).stdout
    library = sorted((Path(av.__file__).parent.parent / "av.libs").glob("libavformat*"))
    if not library:  # other systems keep it elsewhere
        library = sorted(Path(av.__file__).parent.rglob("*avformat*"))
    import ctypes

    formats = ctypes.CDLL(str(library[0]))
    formats.avio_enum_protocols.restype = ctypes.c_char_p
    found, place = set(), ctypes.c_void_p()
    while name := formats.avio_enum_protocols(ctypes.byref(place), 0):
        found.add(name.decode())
    assert found and found <= set(SCHEMES), found - set(SCHEMES)
