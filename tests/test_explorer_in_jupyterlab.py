"""The explorer in JupyterLab: as plain HTML, and as a widget whose moves Python sees and whose view follows Python."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import numpy as np
import pytest

from attn_edu.interactive import AttentionExplorer

pytest_plugins = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.build]

CELLS = [
    """\
import json
import numpy as np
from attn_edu.interactive import AttentionExplorer
rng = np.random.default_rng(7)
explorer = AttentionExplorer(["a", "b", "c"], *(rng.normal(size=(3, size)) for size in (5, 5, 2)))
explorer""",
    "widget = explorer.widget()\nwidget",
    """\
print(json.dumps([widget.temperature, widget.causal, widget.selected,
                  widget.weights.tolist(), widget.output.tolist()]))""",
    "widget.temperature = 0.25\nwidget.selected = 2",
    "try:\n    widget.temperature = -1\nexcept ValueError as error:\n    print(error)",
    """\
widget.update(tokens=["d", "e"], query=np.eye(2), key=np.eye(2), value=[[3], [5]], selected=1, causal=False)""",
]
RUN = """async (index) => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = index;
  await window.jupyterapp.commands.execute("notebook:run-cell");
  return panel.content.widgets[index].model.outputs.toJSON();
}"""


def same_figure():
    rng = np.random.default_rng(7)
    return AttentionExplorer(["a", "b", "c"], *(rng.normal(size=(3, size)) for size in (5, 5, 2)))


def wait_for(url, server, log):
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not answer\n{log.read_text()}")


@pytest.fixture
def lab(tmp_path):
    """Start JupyterLab on a free port, with settings of its own, and give its address."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (tmp_path / "root").mkdir()
    nbformat.write(notebook, tmp_path / "root" / "live.ipynb")
    quiet = tmp_path / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = os.environ | {name: str(tmp_path / folder) for name, folder in places.items()}
    environment |= {"IPYTHONDIR": str(tmp_path / "ipython")}
    options = [
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={tmp_path / 'root'}",
        "--LabApp.extension_manager=readonly",
        f"--LabApp.user_settings_dir={tmp_path / 'config' / 'lab' / 'user-settings'}",
    ]
    log = tmp_path / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=out, stderr=out, env=environment, cwd=tmp_path
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()  # ends its kernels too
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def printed(outputs):
    assert [output["output_type"] for output in outputs] == ["stream"], outputs
    return "".join(outputs[0]["text"])


def shown(figure):
    return [float(cell.get_attribute("data-weight")) for cell in figure.locator(".attn-cell").all()]


def test_jupyterlab(lab, visit):
    visited = visit(permissions=[])
    page = visited.page
    page.set_default_timeout(30_000)
    page.goto(f"{lab}/lab/tree/live.ipynb?reset")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context?.isReady")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready")
    start = same_figure()

    # Plain HTML: no widget, the script runs in the output.
    assert "text/html" in page.evaluate(RUN, 0)[0]["data"]
    still = page.locator(".attn-live .attn-explorer")
    still.wait_for()
    np.testing.assert_allclose(shown(still), start.weights.ravel(), rtol=0, atol=1e-12)
    still.locator(".attn-cell").nth(0).click()
    before = page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex") == before
    assert still.locator("[aria-selected=true] [role=rowheader]").inner_text() == "c"
    assert still.evaluate("figure => getComputedStyle(figure).colorScheme") == "light"

    # The same figure as a widget.
    page.evaluate(RUN, 1)
    live = page.locator(".jp-OutputArea-output .attn-explorer").nth(1)
    live.wait_for()
    np.testing.assert_allclose(shown(live), start.weights.ravel(), rtol=0, atol=1e-12)
    assert live.evaluate("figure => figure.getBoundingClientRect().width") > 300

    # What the reader moves, Python sees.
    live.locator("[type=range]").focus()
    page.keyboard.press("Home")
    live.locator("[type=checkbox]").check()
    live.locator(".attn-cell").nth(4).hover()
    deadline = time.monotonic() + 20  # a widget holds its messages back while the kernel answers an earlier one
    while True:
        *state, weights, output = json.loads(printed(page.evaluate(RUN, 2)))
        if state == [0.1, True, 1] or time.monotonic() > deadline:
            break
    assert state == [0.1, True, 1]
    moved = AttentionExplorer(**{**start.state, "temperature": 0.1, "causal": True})
    np.testing.assert_allclose(weights, moved.weights, rtol=0, atol=1e-15)
    np.testing.assert_allclose(output, moved.output, rtol=0, atol=1e-15)
    np.testing.assert_allclose(shown(live), moved.weights.ravel(), rtol=0, atol=1e-12)

    # What Python sets, the view shows, and a bad value changes nothing.
    page.mouse.move(0, 0)
    page.evaluate(RUN, 3)
    live.locator("xpath=self::*[@data-temperature='0.25']").wait_for()
    live.locator(".attn-row[aria-selected=true]:has-text('c')").wait_for()
    moved = AttentionExplorer(**{**start.state, "temperature": 0.25, "causal": True})
    np.testing.assert_allclose(shown(live), moved.weights.ravel(), rtol=0, atol=1e-12)
    assert printed(page.evaluate(RUN, 4)) == "temperature: wanted a finite number above 0, got -1\n"
    assert live.get_attribute("data-temperature") == "0.25"
    page.evaluate(RUN, 5)
    live.locator(".attn-title:has-text('e')").wait_for()
    np.testing.assert_allclose(sum(shown(live)), 2, rtol=0, atol=1e-12)
    assert live.locator(".attn-cell").count() == 4

    assert visited.foreign == []
    ours = ("attention_explorer", "attn", "anywidget", "SyntaxError", "TypeError", "ReferenceError")
    assert [error for error in visited.errors if any(word in error for word in ours)] == []
