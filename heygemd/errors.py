"""Our errors, sorted by what the scheduler must do about them:

* HeygemdError
  - InputError     the user's files are wrong: fail the job now, never retry
  - ResourceError  the machine lacks something: retry later, or with a smaller plan
  - SetupError     the operator must act: refuse to start, exit 78
  - WrongStateError  the store was asked for an illegal step: a bug of ours

Each of the first three carries a stable code. `ADVICE` says, in English and in Chinese, what went wrong
and what to do; reports, `REASON.txt` and the command line all read it from here.
"""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person is told about one code: what happened, and what to do."""

    title: str
    todo: str
    title_zh: str
    todo_zh: str


ADVICE: dict[str, Advice] = {
    "E101": Advice(
        "The file is of a kind that cannot be used.",
        "Convert it to MP4 or MOV (picture) or WAV, FLAC, MP3 or M4A (sound) and drop it again.",
        "文件类型不受支持。",
        "请转换为 MP4/MOV（画面）或 WAV/FLAC/MP3/M4A（声音）后重新放入。",
    ),
    "E102": Advice(
        "The file waited for its partner, and none came.",
        "Put picture and sound with the same name into the inbox together.",
        "文件一直没有等到与之配对的文件。",
        "请将同名的画面和声音文件一起放入 inbox。",
    ),
    "E103": Advice(
        "It is not clear which picture belongs to which sound.",
        "Give each pair a name of its own, or say it in a manifest.",
        "无法确定画面与声音如何配对。",
        "请为每一对文件取唯一的同名，或使用清单文件说明。",
    ),
    "E104": Advice(
        "The picture is HDR (PQ or HLG), which would come out with wrong colours.",
        "Export the clip as SDR (BT.709) and drop it again.",
        "视频为 HDR(PQ 或 HLG），颜色会出错。",
        "请导出为 SDR(BT.709)后重新放入。",
    ),
    "E105": Advice(
        "The file is larger in pixels, streams or length than the limits allow.",
        "Use a smaller picture or a shorter file, or raise the limits in the configuration.",
        "文件的像素、流数量或时长超过限制。",
        "请使用更小的画面或更短的文件，或在配置中提高限制。",
    ),
    "E106": Advice(
        "A file of this name exists already and is not to be replaced.",
        'Rename the input, move the existing file away, or set outbox.on_clash = "version".',
        "已存在同名文件，且不允许覆盖。",
        '请重命名输入文件、移走已有文件，或设置 outbox.on_clash = "version"。',
    ),
    "E110": Advice(
        "The file is cut off or damaged.",
        "Copy it again from the source; play it to the end first.",
        "文件被截断或已损坏。",
        "请从源头重新复制，并先完整播放一遍确认。",
    ),
    "E111": Advice(
        "The file changed while it was being read.",
        "Wait until the copy has finished; it is picked up again by itself.",
        "文件在读取过程中发生了变化。",
        "请等待复制完成，系统会自动重新处理。",
    ),
    "E112": Advice(
        "The file is not the one that the manifest describes (size or sha256).",
        "Copy it again, or correct the manifest.",
        "文件与清单中声明的大小或 sha256 不符。",
        "请重新复制文件，或更正清单。",
    ),
    "E120": Advice(
        "The manifest cannot be read as text, or is too large.",
        "Save it as UTF-8, smaller than the limit (intake.max_manifest_mib).",
        "清单无法按文本读取，或超过大小限制。",
        "请保存为 UTF-8，并小于限制（intake.max_manifest_mib）。",
    ),
    "E121": Advice(
        "The file is not valid JSON, YAML, CSV, JSON Lines or TOML.",
        "Correct it at the line and column named, and drop it again.",
        "文件不是有效的 JSON、YAML、CSV、JSON Lines 或 TOML。",
        "请在所指出的行列处更正，然后重新放入。",
    ),
    "E122": Advice(
        "A key appears twice.",
        "Remove one of the two.",
        "同一个键出现了两次。",
        "请删除其中一个。",
    ),
    "E123": Advice(
        "There is no such key or column.",
        "Correct its spelling; docs/drop-protocol.md lists them all.",
        "不存在这样的键或列。",
        "请更正拼写；全部名称见 docs/drop-protocol.md。",
    ),
    "E124": Advice(
        "A value is missing or of the wrong kind.",
        "Correct it at the line named; put texts that look like numbers or times into quotes.",
        "缺少值，或值的类型不正确。",
        "请在所指出的行更正；看起来像数字或时间的文本请加引号。",
    ),
    "E125": Advice(
        "The manifest has too many rows or patterns, or is nested beyond measure.",
        "Split it (intake.max_manifest_rows), and write it plainly, without aliases and deep nesting.",
        "清单的行或模式过多，或嵌套过深。",
        "请拆分清单（intake.max_manifest_rows），使用简单写法，不要使用别名和深层嵌套。",
    ),
    "E126": Advice(
        "A path leads out of the manifest's folder, or is written in a way that cannot be used.",
        "Use paths relative to the manifest, with / between folders and without ..",
        "路径超出清单所在文件夹，或写法不可用。",
        "请使用相对于清单的路径，用 / 分隔，不要使用 ..",
    ),
    "E127": Advice(
        "No file fits the pattern.",
        "Copy the files first, or correct the pattern.",
        "没有文件符合该模式。",
        "请先复制文件，或更正模式。",
    ),
    "E128": Advice(
        "Two rows have the same id or would make the same film.",
        "Give each row an id and an output of its own.",
        "两行的 id 相同，或会生成同名视频。",
        "请为每一行设置不同的 id 和 output。",
    ),
    "E129": Advice(
        "Other rows of this strict manifest are wrong, so none was made.",
        "Correct those rows, or leave out strict.",
        "该严格清单的其他行有误，因此整份清单未执行。",
        "请更正这些行，或去掉 strict。",
    ),
    "E131": Advice(
        "No usable face was found in the picture.",
        "Use a clip in which one face looks roughly at the camera and is at least 10 % of the picture.",
        "画面中没有找到可用的人脸。",
        "请使用人脸大致正对镜头、且至少占画面 10% 的视频。",
    ),
    "E132": Advice(
        "The sound is silent or has no samples.",
        "Check the recording; a voice must be audible.",
        "声音为静音或没有内容。",
        "请检查录音，必须能听到人声。",
    ),
    "E133": Advice(
        "The sound is longer than the limit.",
        "Split it, or raise limits.max_duration_s in the configuration.",
        "声音时长超过限制。",
        "请拆分，或在配置中提高 limits.max_duration_s。",
    ),
    "E201": Advice(
        "The shared folder cannot be reached.",
        "Mount it again; work goes on by itself when it is back.",
        "无法访问共享文件夹。",
        "请重新挂载，恢复后会自动继续。",
    ),
    "E202": Advice(
        "The disk is full or cannot be written.",
        "Free some space or make it writable; work goes on by itself.",
        "磁盘已满或不可写。",
        "请释放空间或恢复写权限，之后会自动继续。",
    ),
    "E301": Advice(
        "The graphics memory was not enough.",
        "Close other programs on the card, or choose a smaller batch or the CPU.",
        "显存不足。",
        "请关闭占用显卡的其他程序，或减小批量，或改用 CPU。",
    ),
    "E302": Advice(
        "The compute device failed or disappeared.",
        "Look at the driver's log; the job is tried again by itself.",
        "计算设备出错或消失。",
        "请查看驱动日志，任务会自动重试。",
    ),
    "E303": Advice(
        "The main memory was not enough.",
        "Close other programs, set render.workers = 1 or a smaller render.batch_size, or use a smaller picture.",
        "内存不足。",
        "请关闭其他程序，或设置 render.workers = 1、减小 render.batch_size，或使用更小的画面。",
    ),
    "E304": Advice(
        "The graphics card's video encoder is busy, broken or gone.",
        "Nothing: the film is made with x264. If it happens often, set render.encoder to x264.",
        "显卡的视频编码器繁忙、出错或消失。",
        "无需处理：该视频会改用 x264 制作。若经常发生，请将 render.encoder 设为 x264。",
    ),
    "E401": Advice(
        "The configuration or a folder of the set-up is wrong.",
        "Correct the named setting and start again.",
        "配置或目录设置有误。",
        "请更正所指出的设置后重新启动。",
    ),
    "E402": Advice(
        "The weights of the chosen engine are missing.",
        "Put them into the directory that models_dir names (see models/README.md), or use engine atlas.",
        "所选引擎的模型权重缺失。",
        "请将权重放入 models_dir 所指目录（见 models/README.md），或改用 atlas 引擎。",
    ),
    "E403": Advice(
        "ffmpeg or ffprobe (5.1 or newer, with libx264) is missing.",
        "Install it: sudo apt-get install ffmpeg",
        "缺少 ffmpeg 或 ffprobe（需 5.1 以上并带 libx264）。",
        "请安装：sudo apt-get install ffmpeg",
    ),
    "E404": Advice(
        "Another daemon already uses this state directory or this root.",
        "Stop the other one, or give this one a state directory and root of its own.",
        "另一个守护进程正在使用该状态目录或根目录。",
        "请停止另一个进程，或使用独立的状态目录和根目录。",
    ),
    "E405": Advice(
        "The weights file does not fit the network, or is not safe to load.",
        "Use an unmodified checkpoint of the published 96-pixel Wav2Lip network.",
        "权重文件与网络不匹配，或加载不安全。",
        "请使用官方发布的 96 像素 Wav2Lip 权重文件。",
    ),
    "E406": Advice(
        "A GPU is required by the configuration but none can be used.",
        "Check the driver (nvidia-smi), or set require_gpu = false.",
        "配置要求使用 GPU，但没有可用的 GPU。",
        "请检查驱动（nvidia-smi），或设置 require_gpu = false。",
    ),
    "E407": Advice(
        "The job store or its directory is not open to this user.",
        "Use sudo, or run the command as the user of the daemon: sudo -u heygemd heygemd ...",
        "当前用户无权访问任务库或其目录。",
        "请使用 sudo，或以守护进程的用户运行：sudo -u heygemd heygemd ...",
    ),
    "E408": Advice(
        "A download failed.",
        "Check the address and the connection (proxy?), then run the same command again: it goes on where it stopped.",
        "下载失败。",
        "请检查地址和网络连接（代理？），然后重新运行同一命令，会从中断处继续。",
    ),
    "E409": Advice(
        "A model file is not the one that was expected (size or sha256).",
        "Delete it and fetch it again: heygemd models pull NAME; then: heygemd models verify",
        "模型文件与预期不符（大小或 sha256）。",
        "请删除后重新获取：heygemd models pull 名称；然后运行：heygemd models verify",
    ),
    "E500": Advice(
        "An unexpected fault inside heygemd.",
        "Send error.json and the journal of that time to the developers; the inputs are kept.",
        "heygemd 内部发生意外错误。",
        "请将 error.json 和当时的日志发给开发者，输入文件已保留。",
    ),
    "E501": Advice(
        "The job ended its worker process more than once.",
        "The file may be damaged in an unusual way: convert it again; the other jobs are not affected.",
        "该任务多次导致工作进程退出。",
        "文件可能以特殊方式损坏，请重新转换；其他任务不受影响。",
    ),
    "E502": Advice(
        "The finished film did not pass its own check.",
        "Send error.json to the developers; the inputs are kept.",
        "成片未通过自检。",
        "请将 error.json 发给开发者，输入文件已保留。",
    ),
}


class HeygemdError(Exception):
    """Base of every error raised on purpose; `code` is a key of `ADVICE`."""

    families: ClassVar[tuple[str, ...]] = ()

    def __init__(self, code: str, message: str) -> None:
        if code not in ADVICE or not code.startswith(self.families):
            raise ValueError(f"{type(self).__name__} cannot carry code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message

    @override
    def __reduce__(self) -> tuple[type["HeygemdError"], tuple[str, str]]:
        """Survive the way through a pipe between processes."""
        return type(self), (self.code, self.message)


class InputError(HeygemdError):
    """The user's files are wrong; trying again cannot help."""

    families = ("E1",)


class ResourceError(HeygemdError):
    """The machine lacks something right now; the job keeps its place."""

    families = ("E2", "E3")


class SetupError(HeygemdError):
    """The installation is wrong; only the operator can help."""

    families = ("E4",)


class FaultError(HeygemdError):
    """Something of ours went wrong (a film that fails its check, a worker that dies twice)."""

    families = ("E5",)


class WrongStateError(Exception):
    """The job was not in a state from which this step is legal."""


def error_for(code: str, message: str) -> HeygemdError:
    """Rebuild the error of the right family from what crossed a process border."""
    for family in (InputError, ResourceError, SetupError, FaultError):
        if code.startswith(family.families) and code in ADVICE:
            return family(code, message)
    return FaultError("E500", f"{code}: {message}")
