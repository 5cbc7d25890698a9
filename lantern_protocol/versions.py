"""The versions of the agreement, and the messages between the add-on and the inference server.

JSON-RPC 2.0 in the base framing of the Language Server Protocol (`Content-Length: N`, an empty line, N bytes of UTF-8
JSON), over the child's stdin and stdout. Vectors travel as base64 of little-endian float32; pixels travel as files.

Requests, from the add-on to the server:

=================== ================================================= =======================================
method              params                                            result
=================== ================================================= =======================================
initialize          protocol, pixel_revision, client                  protocol, pixel_revision, server, python,
                                                                      torch, device {kind, name}, pid
generator/describe  path: of a file, of a folder of snapshots, or     the fields of GeneratorInfo, and sha256, path,
                    null: the built-in one                            bytes, device, dtype, snapshots: one flat object
latents/sample      generator, seeds [int]                            latents (n, z_dim)
latents/map         generator, latents (n, z_dim), classes or absent  latents (n, w_dim), without truncation
latents/import      path: of an .npy, .npz or .pt file, generator     latents (n, ...), space: "z", "w" or "w+"
frames/generate     job, folder, generator, toward or absent, space,  made, failed, dropped: counts, once the last
                    latents (rows), frames [FrameOrder], append       of these frames is made, failed or dropped
shadows/derive      job, folder, shadows [ShadowOrder], append        the same
frames/cancel       job                                               dropped: a count
work/cancel         id: of a request answered by long work            cancelled: whether it was under way
library/list        folders [path]                                    entries [{path, snapshots: a count, bytes}],
                                                                      problems [text]
library/card        path, thumbnail: whether to make one              as generator/describe, and thumbnail: path of a
                                                                      PNG, empty if there is none
device/release      none                                              released: bytes; generators leave the device
ping                none                                              {}, at once, whatever the device is doing
shutdown            none                                              {}, after the files under way are written
=================== ================================================= =======================================

`generator` is {path, sha256}: the server loads the file when it must, and refuses one whose contents have changed.
`toward`, of the same form, is a second snapshot of the same run; a frame's `mix` says how far its weights lie from the
first to the second. `snapshots` of a folder is a list of {name, path, sha256, bytes} in the order of training, and the
flat fields are those of the last one; of a file it is empty. Latents in space "w" may also be (rows, num_ws, w_dim),
which is W+, and in z (rows, z_dim, height, width) for generators with a `canvas_step`.
A job is a number chosen by the add-on that only grows. An order drops what is left of older ones, unless `append` is
true and the job is the current one: then the orders join the end of its queue. Orders for a job older than the current
one are dropped at once. Within a job, orders are made in the order given; the first one of a job is made alone, so that
the frame under the playhead never waits for a batch. Whatever a frames/failed says of the disk or of memory would meet
the next frame as well: the rest of the job is dropped then.

Long work (a search, an inversion) answers its request only at its end, and may take minutes. The device does it in
slices between calls and batches of frames, so that no frame waits for more than one slice. Meanwhile `work/progress`
names the request by its id, at most five times a second: `done` of `total`, 0 <= done <= total < 2^31, and `done` only
grows. Where work/cancel has answered that the work was under way, its request is answered with the error CANCELLED. No
method is answered by long work yet.

Notifications, from the server to the add-on: `frames/made` {job, names, seconds} after files have their final names,
`frames/failed` {job, names, error}, `work/progress` {id, done, total}, and `log` {level, text}.
"""

from __future__ import annotations

PROTOCOL_VERSION = 3
SERVER_VERSION = "0.1.0"
PIXEL_REVISION = 2
"""Raised whenever the same request would give other pixels. Part of every frame's name."""
