"""What clients of a Hub do in the tests of published models: code for processes of their own."""

from __future__ import annotations

# One process pushes and says what came of it; the tests below each read one answer.
BEGIN = """
import hashlib, json, os, sys, urllib.request, warnings
from pathlib import Path
import torch
from click.testing import CliRunner
from huggingface_hub import HfApi
from transformers import AutoModelForCTC, AutoProcessor
from hf_repsim.cli import main
from hf_repsim.ctc import make_feature_extractor, make_model
from hf_repsim.release.push import push_model
from hf_repsim.states import load_model
run, api, told = sys.argv[1], HfApi(), {"digests": {}}
def push(name, repo, where=run, **options):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            done = push_model(where, repo, **options)
            told[name] = {"url": done.url, "oid": done.commit.oid, "step": done.step}
            told[name] |= {"branches": done.branches, "kept": done.card_kept}
        except (ValueError, OSError, RuntimeError) as error:
            told[name] = {"error": f"{type(error).__name__}: {error}"}
        told[name]["said"] = [str(w.message) for w in said if w.category is UserWarning]
def held(repo, revision=None):
    return sorted(api.list_repo_files(repo, revision=revision))
def read(repo, file, revision=None):
    return Path(api.hf_hub_download(repo, file, revision=revision)).read_text()
def write(repo, file, text):
    api.upload_file(repo_id=repo, path_in_repo=file, path_or_fileobj=text.encode())
def fail(path, status):
    fault = json.dumps({"method": "POST", "path": path, "status": status, "message": "not today"})
    ask = urllib.request.Request(f"{api.endpoint}/__admin__/faults", fault.encode())
    urllib.request.urlopen(ask)
def digest(where, **options):
    model = AutoModelForCTC.from_pretrained(where, **options)
    logits = model(torch.ones(1, 4000).cumsum(1).sin()).logits
    return hashlib.sha256(logits.detach().numpy().tobytes()).hexdigest()
"""
PUSH = """
terms = {"license": "mit", "language": "en", "tags": ["digits"]}
push("first", "tester/cnn", **terms)
told["held"], told["card"] = held("tester/cnn"), read("tester/cnn", "README.md")
told["training"] = read("tester/cnn", "training.json")
push("again", "tester/cnn", **terms)
told["commits"] = len(api.list_repo_commits("tester/cnn"))
push("all", "tester/all", all_checkpoints=True, step=1)
names = [ref.name for ref in api.list_repo_refs("tester/all").branches]
told["branches"] = {name: held("tester/all", name) for name in names}
write("tester/cnn", "README.md", told["card"] + "Mine.")
write("tester/cnn", "tokenizer.json", "{}"), write("tester/cnn", "notes.txt", "mine")
push("kept", "tester/cnn", step=0)
told["mended"], told["kept card"] = held("tester/cnn"), read("tester/cnn", "README.md")
push("replaced", "tester/cnn", step=0, replace_card=True)
told["new card"] = read("tester/cnn", "README.md")
push("offered", "tester/cnn", step=1, create_pr=True)
push("trial", "tester/cnn", step=1, revision="trial")
push("unnamed", "mine", private=True, commit_message="a first one")
told["private"] = api.model_info("tester/mine").private
told["title"] = api.list_repo_commits("tester/mine")[0].title
last = f"{run}/checkpoint-2"
AutoModelForCTC.from_pretrained(last).push_to_hub("tester/class")
AutoProcessor.from_pretrained(last).push_to_hub("tester/class")
for encoder in ("lstm", "transformer"):
    make_model(encoder, vocab_size=12, seed=0, size="tiny").push_to_hub(f"tester/{encoder}")
    make_feature_extractor(encoder).push_to_hub(f"tester/{encoder}")
    told["digests"][encoder] = digest(f"tester/{encoder}")
loaded = load_model("tester/lstm")
told["loaded"] = [type(loaded.module).__module__, *loaded.layers]
told["digests"]["local"] = digest(last)
told["digests"]["hub"] = digest("tester/cnn", revision=told["first"]["oid"])
for step in (0, 1):
    told["digests"][f"step {step}"] = digest(f"{run}/checkpoint-{step}")
"""
REFUSE = """
api.create_repo("tester/data", repo_type="dataset")
push("a dataset", "tester/data")
push("read only", "tester/x1", token="hf_tester_read")
push("wrong token", "tester/x1", token="hf_wrong")
push("no token", "tester/x1", token=False)
push("another's", "somebody/x1")
push("other token", "tester/cnn", token="hf_other_write")
push("no licence", "tester/x1", license="as you like")
push("public", "tester/cnn", private=True)
push("no such step", "tester/x1", step=3)
push("no folder", "tester/x1", where=run + "-2")
told["made"] = [api.repo_exists("tester/x1"), api.repo_exists("tester/data")]
fail("/tester/broken/commit/main", 400)
push("cut off", "tester/broken")
told["after"] = held("tester/broken")
fail("/tester/cnn/commit/fresh", 400)
push("cut off on a branch", "tester/cnn", revision="fresh")
told["fresh"] = held("tester/cnn", "fresh")
before = api.model_info("tester/all").sha
fail("/tester/all/commit/step-1", 400)
push("cut off between", "tester/all", all_checkpoints=True, license="mit")
told["main stays"] = api.model_info("tester/all").sha == before
record = json.loads(Path(run, "run.json").read_text())
Path(run, "run.json").write_text(json.dumps(record | {"finished": False}))
push("unfinished", "tester/unfinished")
told["unfinished card"] = read("tester/unfinished", "README.md")
for line in sys.argv[2:]:
    done = CliRunner().invoke(main, line.replace("RUN", run).split())
    told[line] = [done.exit_code, done.stdout, done.stderr]
print(json.dumps(told))
"""
ELSEWHERE = """
import hashlib, json, sys
sys.modules["hf_repsim"] = None
import torch
from transformers import AutoModel, AutoModelForCTC, AutoProcessor, pipeline
told, wave = {}, torch.ones(1, 4000).cumsum(1).sin()
names = {"cnn": sys.argv[1], "all": "step-0", "class": None, "lstm": None, "transformer": None}
for name, revision in names.items():
    options = {"revision": revision, "trust_remote_code": True}
    model = AutoModelForCTC.from_pretrained(f"tester/{name}", **options)
    bare = AutoModel.from_pretrained(f"tester/{name}", **options)
    assert type(model).__module__.startswith("transformers_modules")
    assert type(bare) is type(model.base_model)
    logits = model(wave).logits.detach()
    told[name] = hashlib.sha256(logits.numpy().tobytes()).hexdigest()
    states = bare(wave).last_hidden_state
    assert torch.equal(states, model.base_model(wave).last_hidden_state)
options = {"revision": sys.argv[1], "trust_remote_code": True}
hear = pipeline("automatic-speech-recognition", "tester/cnn", **options)
told["heard"] = hear(wave[0].numpy())["text"]
processor = AutoProcessor.from_pretrained("tester/class", trust_remote_code=True)
told["tokens"] = processor.tokenizer.convert_ids_to_tokens(range(6))
print(json.dumps(told))
"""
