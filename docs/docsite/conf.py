# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sphinx's configuration of the documentation site, which build.py builds."""

from __future__ import annotations

from typing import Any

from pygments.lexers.special import TextLexer

project = "Hostfence"
copyright = "The Hostfence founders"
title = html_short_title = "hostfence.calico"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
html_theme = "sphinx_ansible_theme"
html_theme_options = {"vcs_pageview_mode": "", "documentation_home_url": ""}
html_show_sphinx = False
display_version = False
pygments_style = "ansible"
highlight_language = "text"
# Headings are what pages link to, as on GitHub.
myst_heading_anchors = 4
# Console examples have prompts, and YAML examples placeholders: a lexer that stumbles shows them plain.
suppress_warnings = ["misc.highlighting_failure"]


def setup(app: Any) -> None:
    # A picture of Mermaid's needs a script from elsewhere; as text it still reads.
    app.add_lexer("mermaid", TextLexer)
