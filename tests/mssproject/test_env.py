"""env: what each variable accepts, and the sentence that names it when it is wrong."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssproject.env import ALIASES, SECRETS, EnvError, load

HERE = str(Path(__file__).parent)
SECRET_VALUE = "hunter2-hunter2-hunter2-hunter2-hunter2"


def faults(**variables: str) -> list[str]:
    """The sentences that the start would stop with."""
    with pytest.raises(EnvError) as wrong:
        load(variables)
    return str(wrong.value).splitlines()


def test_nothing_set_gives_the_documented_defaults() -> None:
    env = load({})
    assert (env.comfyui_url, env.host, env.port) == ("http://127.0.0.1:8188", "127.0.0.1", 8000)
    assert (env.session_hours, env.max_token_hours, env.max_prompt_nodes) == (24, 8760, 1000)
    assert (env.trusted_proxies, env.cors_origins, env.force_https) == ((), (), False)
    assert env.hosts() == ["localhost", "127.0.0.1", "[::1]"]
    assert not any(getattr(env, ALIASES[name]) for name in SECRETS)


def test_an_empty_value_counts_as_not_set() -> None:
    assert load(dict.fromkeys(ALIASES, "")) == load({})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "COMFYUI_URL",
            [
                "127.0.0.1:8188",
                "ftp://x",
                "http://",
                "http://h:x",
                "http://h?a=1",
                "http://[",
                "no",
            ],
        ),
        *(
            (
                name,
                ["hf-mirror.com", "ftp://h", "https://", "https://h?a=1", "https://u:p@h", "//h"],
            )
            for name in ("CIVITAI_URL", "HF_ENDPOINT")
        ),
        ("MSS_DATA_DIR", [__file__, f"{__file__}/x", "~no_such_user/x", "x" * 5000]),
        *(
            (f"COMFYUI_{kind}_DIR", [__file__, f"{__file__}/x", "/no/such/x", ".", "x" * 5000])
            for kind in ("OUTPUT", "INPUT", "TEMP")
        ),
        ("COMFYUI_OUTPUT_DIR", [f"{HERE}/there-later"]),
        ("MSS_HOST", ["http://0.0.0.0", "0.0.0.0:8000", "a b", "[::1]", "::1:x", "-/"]),
        ("MSS_PORT", ["0", "65536", "-1", "eighty", "80.5", "8000;"]),
        ("MSS_WORKERS", ["0", "2", "many"]),
        ("SECRET_KEY", ["short"]),
        ("DATABASE_URL", ["nonsense", "mysql://u@h/d", "postgres://u:pw@h:x/d", "http://h", "//"]),
        ("REDIS_URL", ["nonsense", "localhost:6379", "http://h", "redis://h:x/0", "redis://["]),
        ("MSS_SETUP_TOKEN", ["short"]),
        ("MSS_ALLOWED_HOSTS", ["http://h", "h:8000", "a b", ",", "ok.example,bad/", "::1", "[x]"]),
        ("MSS_TRUSTED_PROXIES", ["proxy.local", "10.0.0.0/33", "10.0.0.1,x", "1.2.3"]),
        ("MSS_FORCE_HTTPS", ["maybe", "2", "ja"]),
        ("MSS_CORS_ORIGINS", ["*", "h", "http://h/", "http://h/x", "http://a,b", "null"]),
        ("MSS_SESSION_HOURS", ["0", "-1", "nan", "inf", "8761", "a day"]),
        ("MSS_SESSION_IDLE_HOURS", ["0", "0.009", "-1", "nan", "inf", "8761", "a day"]),
        ("MSS_MAX_TOKEN_HOURS", ["0", "-1", "nan", "inf", "1e300", "a year"]),
        ("MSS_MAX_PROMPT_NODES", ["0", "-1", "1.5", "lots"]),
        ("MSS_LOG_LEVEL", ["debug", "LOUD", "5", "INFO\n"]),
        (
            "MSS_SMTP_URL",
            [
                "mail.example",
                "mail.example:25",
                "http://h",
                "smtp://",
                "smtp://user:pw@",
                "smtp://h:x",
                "smtp://u:p/w@h",
                "smtp://u:p#w@h",
                "smtp://u:1?w@h",
                "smtp://h/?a=1",
                "smtp://u%ff@h",
            ],
        ),
        (
            "MSS_MAIL_FROM",
            ["nobody", "@", "a@b\nBcc: c@d", "a@b, c@d", "a b@c d", "<>", "a@b@c", "x\0@y"],
        ),
    ],
)
def test_each_malformed_value_gives_a_sentence_naming_the_variable(
    name: str, values: list[str]
) -> None:
    for value in values:
        (sentence,) = faults(**{name: value})
        assert sentence.startswith(f"{name}: ") and sentence.endswith("."), value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COMFYUI_URL", "https://comfy.lan:8188/base"),
        ("COMFYUI_OUTPUT_DIR", HERE),
        # It is there only as long as ComfyUI runs.
        ("COMFYUI_TEMP_DIR", f"{HERE}/there-later"),
        ("CIVITAI_URL", "http://127.0.0.1:9000"),
        ("HF_ENDPOINT", "https://hf-mirror.com/"),
        ("MSS_HOST", "0.0.0.0"),
        ("MSS_HOST", "::"),
        ("MSS_HOST", "gateway.lan"),
        ("DATABASE_URL", "postgres://user:p%40ss@host:5432/name"),
        ("DATABASE_URL", "postgresql:///name"),
        ("DATABASE_URL", "sqlite:////var/lib/mss/db.sqlite3"),
        ("REDIS_URL", "rediss://:pw@host:6379/0"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("MSS_ALLOWED_HOSTS", "a.example, .b.example,[::1],10.0.0.1"),
        ("MSS_ALLOWED_HOSTS", "*"),
        ("MSS_TRUSTED_PROXIES", "10.0.0.0/8, ::1,192.168.1.5/24"),
        ("MSS_FORCE_HTTPS", "True"),
        ("MSS_CORS_ORIGINS", "https://app.example,http://localhost:3000"),
        ("MSS_SESSION_HOURS", "0.5"),
        ("MSS_SESSION_IDLE_HOURS", "0.01"),
        ("MSS_MAX_TOKEN_HOURS", "876000"),
        ("MSS_LOG_LEVEL", "DEBUG"),
        ("MSS_SMTP_URL", "smtp+starttls://mail.example"),
        ("MSS_MAIL_FROM", "MSS-Login <mss@mail.example>"),
        ("SECRET_KEY", "x" * 32),
    ],
)
def test_good_values_are_taken(name: str, value: str) -> None:
    assert load({name: value}) != load({})


def test_several_web_processes_need_redis_and_are_told_so() -> None:
    assert load({"MSS_WORKERS": "4", "REDIS_URL": "redis://h"}).workers == 4
    (sentence,) = faults(MSS_WORKERS="4")
    assert "set it, or leave MSS_WORKERS at 1" in sentence
    assert "REDIS_URL" in sentence


def test_several_faults_are_told_at_once() -> None:
    sentences = faults(MSS_PORT="x", COMFYUI_URL="x", MSS_FOO="x")
    assert {sentence.partition(":")[0] for sentence in sentences} == {
        "MSS_PORT",
        "COMFYUI_URL",
        "MSS_FOO",
    }


def test_no_fault_shows_a_secret() -> None:
    for name in SECRETS - {"MSS_OWNER_PASSWORD"}:
        for value in (f"x:{SECRET_VALUE}@h:port/x", f"http://[{SECRET_VALUE}", "hunter2"):
            try:
                load({name: value})
            except EnvError as wrong:
                assert "hunter2" not in str(wrong)
    assert SECRET_VALUE not in repr(load({"SECRET_KEY": SECRET_VALUE}))


# --- names ----------------------------------------------------------------------------------


def test_an_unknown_name_of_ours_is_refused_with_the_nearest_one() -> None:
    assert faults(MSS_SESION_HOURS="5") == [
        "MSS_SESION_HOURS: there is no such setting. Did you mean MSS_SESSION_HOURS?"
    ]
    assert faults(MSS_ZZZ="5") == ["MSS_ZZZ: there is no such setting. See docs/configuration.md."]


def test_a_near_miss_of_a_name_without_our_prefix_is_refused_too() -> None:
    for name, meant in (
        ("COMFYUI_ULR", "COMFYUI_URL"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("SECRET_KEYS", "SECRET_KEY"),
    ):
        assert faults(**{name: "x"}) == [f"{name}: there is no such setting. Did you mean {meant}?"]


def test_other_programs_variables_are_none_of_our_business() -> None:
    assert load({"PATH": "/bin", "LANG": "C", "COMFYUI_PATH": "x", "URL": "y"}) == load({})


@given(st.dictionaries(st.sampled_from(sorted(ALIASES)), st.text(max_size=15), max_size=4))
def test_any_values_are_settings_or_sentences(variables: dict[str, str]) -> None:
    try:
        load(variables)
    except EnvError as wrong:
        given_names = {*variables, "MSS_OWNER_USERNAME and MSS_OWNER_PASSWORD go together."}
        for sentence in str(wrong).split("\n"):
            assert any(sentence.startswith(name) for name in given_names), sentence


# --- owner, secrets in files ----------------------------------------------------------------


def test_owners_name_and_password_go_together() -> None:
    for half in ({"MSS_OWNER_USERNAME": "olga"}, {"MSS_OWNER_PASSWORD": "pw"}):
        assert faults(**half) == ["MSS_OWNER_USERNAME and MSS_OWNER_PASSWORD go together."]


@pytest.mark.parametrize("name", sorted(SECRETS - {"MSS_OWNER_PASSWORD"}))
def test_every_secret_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    addresses = {
        "DATABASE_URL": "postgres://h/d",
        "REDIS_URL": "redis://h",
        "MSS_SMTP_URL": "smtp://h",
        "SENTRY_DSN": "https://key@h/1",
    }
    value = addresses.get(name, SECRET_VALUE)
    file = tmp_path / "secret"
    file.write_text(f"  {value}\n")
    env = load({f"{name}_FILE": str(file)})
    read = getattr(env, ALIASES[name])
    assert (read[0] if isinstance(read, tuple) else read).get_secret_value() == value


def test_secrets_are_the_ones_that_say_so() -> None:
    assert {
        "SECRET_KEY",
        "SECRET_KEY_FALLBACKS",
        "DATABASE_URL",
        "REDIS_URL",
        "MSS_OWNER_PASSWORD",
        "MSS_SETUP_TOKEN",
        "MSS_SMTP_URL",
        "MSS_METRICS_TOKEN",
        "SENTRY_DSN",
    } == SECRETS


def test_value_itself_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-the-file-from-the-file-from-the-file")
    env = load({"SECRET_KEY": SECRET_VALUE, "SECRET_KEY_FILE": str(file)})
    assert env.secret_key is not None and env.secret_key.get_secret_value() == SECRET_VALUE


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    binary, empty = tmp_path / "binary", tmp_path / "empty"
    binary.write_bytes(b"\xff\xfe\x00")
    empty.write_text("\n")
    missing = tmp_path / "missing"
    assert faults(SECRET_KEY_FILE=str(missing)) == [
        f"SECRET_KEY_FILE: cannot read {missing}: No such file or directory."
    ]
    assert faults(SECRET_KEY_FILE=str(tmp_path))[0].startswith("SECRET_KEY_FILE: cannot read ")
    assert faults(SECRET_KEY_FILE=str(binary)) == [f"SECRET_KEY_FILE: {binary} holds no text."]
    assert faults(REDIS_URL_FILE=str(empty)) == [f"REDIS_URL_FILE: {empty} is empty."]


def test_only_secrets_come_from_files(tmp_path: Path) -> None:
    assert faults(MSS_PORT_FILE="x")[0].startswith("MSS_PORT_FILE: there is no such setting.")


# --- mail -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://h", ("h", 25, "", "", False, False)),
        ("smtps://h", ("h", 465, "", "", True, False)),
        ("smtp+starttls://h/", ("h", 587, "", "", False, True)),
        ("smtp://[::1]:2525", ("::1", 2525, "", "", False, False)),
        ("smtps://u%40h:p%2Fw%20@Mail.example:1", ("mail.example", 1, "u@h", "p/w ", True, False)),
    ],
)
def test_mail_server_is_what_the_address_says(url: str, server: tuple[object, ...]) -> None:
    assert load({"MSS_SMTP_URL": url}).mail_server() == server
    assert load({}).mail_server() is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_and_password_reach_the_mail_server_as_they_are(user: str, word: str) -> None:
    url = f"smtps://{quote(user, safe='')}:{quote(word, safe='')}@mail.example"
    server = load({"MSS_SMTP_URL": url}).mail_server()
    assert server is not None
    assert (server.host, server.user, server.password) == ("mail.example", user, word)


# --- hosts ----------------------------------------------------------------------------------


def test_hosts_follow_the_address_unless_they_are_given() -> None:
    loopback = ["localhost", "127.0.0.1", "[::1]"]
    assert load({"MSS_HOST": "192.0.2.7"}).hosts() == [*loopback, "192.0.2.7"]
    assert load({"MSS_HOST": "2001:db8::1"}).hosts() == [*loopback, "[2001:db8::1]"]
    everywhere = load({"MSS_HOST": "0.0.0.0"}).hosts()
    assert everywhere[:3] == loopback and "*" not in everywhere
    assert load({"MSS_ALLOWED_HOSTS": "a.example"}).hosts() == ["a.example"]
