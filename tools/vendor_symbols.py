"""Writes the storefront's sprite of symbols from an unpacked `lucide-static` of npm, with its licence beside it.

Usage: npm pack lucide-static && tar xzf lucide-static-*.tgz && python tools/vendor_symbols.py package
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

STOREFRONT = Path(__file__).parents[1] / "client" / "fuserank" / "storefront"
# Of the page itself; those of the tiles stand in render/pictures.toml.
CONTROLS = (
    "chevron-left", "chevron-right", "columns-3", "eye-off", "house", "languages", "package", "plus", "search",
    "search-x", "server-off", "shopping-basket", "sliders-horizontal", "sparkles", "sun-moon", "user-round",
    "workflow", "x",
)  # fmt: skip
# What Lucide does not draw, in its manner.
OWN = {
    "cheese": '<path d="M3 13 15.5 4.5A8 8 0 0 1 21 12v1z"/><path d="M3 13v6h18v-6"/>'
    '<path d="M7 19a2 2 0 0 1 4 0"/><circle cx="15.5" cy="9.5" r=".6"/><circle cx="16" cy="16" r="1"/>'
}


def read_symbol(icons: Path, name: str) -> str:
    """Returns the shapes of a symbol, without the element around them."""
    if name in OWN:
        return OWN[name]
    drawing = (icons / f"{name}.svg").read_text("utf-8")
    shapes = re.findall(r"<(?!svg|/|!)[^>]*>", drawing)
    return "".join(re.sub(r"\s*/>", "/>", shape) for shape in shapes)


def main(package: Path) -> None:
    """Writes symbols.svg and the licence."""
    pictures = tomllib.loads((STOREFRONT / "render" / "pictures.toml").read_text("utf-8"))
    names = sorted({*CONTROLS, *pictures})
    symbols = "\n".join(
        f'<symbol id="{name}" viewBox="0 0 24 24">{read_symbol(package / "icons", name)}</symbol>' for name in names
    )
    static = STOREFRONT / "static"
    head = '<svg xmlns="http://www.w3.org/2000/svg"><!-- Lucide, ISC: LICENSE-lucide.txt -->'
    (static / "symbols.svg").write_text(f"{head}\n{symbols}\n</svg>\n", "utf-8")
    shutil.copy(package / "LICENSE", static / "LICENSE-lucide.txt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
