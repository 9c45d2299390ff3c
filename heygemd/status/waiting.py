"""Why files of an inbox are no film yet, and what a person can do about it: the words of the status page. Pure."""

from heygemd.language import said

_WORDS: dict[str, tuple[str, str, str, str]] = {
    "ARRIVING": ("still arriving", "", "正在传入", ""),
    "PARTNER": (
        "waits for its partner", "Put a video and a sound with the same name into the same folder.",
        "等待配对的文件", "请将同名的画面和声音文件放入同一文件夹。",
    ),
    "AMBIGUOUS": (
        "not clear which belongs to which", "Give each pair a name of its own, or say it in a manifest.",
        "无法确定如何配对", "请为每一对文件取唯一的同名，或使用清单文件说明。",
    ),
    "REFUSED_NAME": (
        "the name cannot be used", "Rename the file, without control characters.",
        "文件名无法使用", "请重命名文件，不要使用控制字符。",
    ),
    "UNREADABLE": (
        "heygemd may not read this", "Allow everybody to read the file or folder.",
        "heygemd 无权读取", "请开放该文件或文件夹的读取权限。",
    ),
    "CHECKING": ("being checked", "", "正在检查", ""),
    "MEMBERS": (
        "waits for files that it names", "Copy the missing files beside it.",
        "等待其中列出的文件", "请将缺少的文件复制到旁边。",
    ),
    "INCOMPLETE": (
        "not complete: it seems cut off", "Copy it again if nothing is copying it any more.",
        "不完整，似乎被截断", "如果已没有复制在进行，请重新复制。",
    ),
    "HOLES": (
        "has gaps: parts of it were never written", "Copy it again if nothing is copying it any more.",
        "有缺口：部分内容从未写入", "如果已没有复制在进行，请重新复制。",
    ),
    "COMMIT": (
        "waits to be released",
        "Copy it under a name that ends in .part and rename it, or put an empty file <name>.ready beside it.",
        "等待确认", "请先以 .part 结尾的名称复制再重命名，或在旁边放一个空文件 <文件名>.ready。",
    ),
    "JOB_FOLDER": (
        "lacks its picture or its sound", "Put the missing file into the folder.",
        "缺少画面或声音", "请将缺少的文件放入该文件夹。",
    ),
    "DEFAULT": ("partner of every lone file in its folder", "", "与同一文件夹中的所有单独文件配对", ""),
    "RESERVED": ("named by a manifest", "", "已列入清单", ""),
    "CONFIG": (
        "", "Correct the file; CONFIG-ERROR.txt beside it says where. Until then the last good settings hold.",
        "", "请更正该文件，旁边的 CONFIG-ERROR.txt 说明了位置。在此之前沿用上一次有效的设置。",
    ),
}  # fmt: skip


def reason_of(why: str, told: str) -> str:
    """Say why, for a name of `intake.pairing.Why`; an unknown one is told as the daemon told it."""
    words = _WORDS.get(why, ("", "", "", ""))
    return said(words[0], words[2]) or told


def fix_of(why: str) -> str:
    """Say what to do; empty when nothing is to be done."""
    words = _WORDS.get(why, ("", "", "", ""))
    return said(words[1], words[3])
