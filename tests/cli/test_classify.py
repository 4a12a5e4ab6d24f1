from __future__ import annotations

import json
import signal
import threading
import time


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_photo_of_a_folder_is_sent_with_its_path_below_it(bestiary, stub, folder):
    done = bestiary("classify", folder, "--url", stub.url)
    assert done.returncode == 0, done.stderr
    sent = ["a.png", "b.JPG", "sub/c.webp", "sub/d.TIFF", "sub/deep/e.gif"]
    assert sorted(query["filename"] for query in stub.queries) == sent
    assert sorted(stub.photos) == [name.encode() for name in sent]
    rows = done.stdout.splitlines()
    assert rows[0].split("  ")[0] == "photo"
    assert [row.split()[0] for row in rows[1:6]] == [str(folder / name) for name in sent]
    assert "2 lion" in rows[1]
    assert "Panthera leo" in rows[1]
    assert "0.973" in rows[1]
    assert "1920x1080" in rows[1]
    assert done.stderr == "5 answered, 0 failed.\n"


def test_json_gives_one_object_a_line(bestiary, stub, folder):
    done = bestiary("classify", "--json", folder, "--url", stub.url)
    assert done.returncode == 0
    assert sorted(line["path"] for line in lines(done))[0] == str(folder / "a.png")
    best = lines(done)[0]["record"]["species"][0]
    assert best["class"] == "Mammalia"


def test_standard_input_is_one_photo(bestiary, stub):
    done = bestiary("classify", "-", "--json", "--url", stub.url, stdin=b"piped photo")
    assert done.returncode == 0, done.stderr
    assert stub.photos == [b"piped photo"]
    assert lines(done)[0]["path"] == "-"
    assert lines(done)[0]["record"]["photo"]["filename"] is None
    assert done.stderr == ""


def test_the_url_comes_from_the_environment_too(bestiary, stub, environment, folder):
    environment["BESTIARY_URL"] = stub.url + "/"
    assert bestiary("classify", folder / "a.png").returncode == 0
    assert stub.photos == [b"a.png"]


def test_ack_and_timeout_reach_the_service(bestiary, stub, folder):
    bestiary("classify", folder / "a.png", "--url", stub.url, "--ack", "stored", "--timeout", "2.5")
    assert stub.queries == [{"ack": "stored", "filename": "a.png"}]
    assert stub.headers[0]["Bestiary-Timeout-Ms"] == "2500"


def test_a_file_named_on_the_command_line_is_sent_whatever_its_name_is(bestiary, stub, folder):
    assert bestiary("classify", folder / "notes.txt", "--url", stub.url).returncode == 0
    assert stub.photos == [b"not for you"]


def test_one_bad_photo_costs_only_itself(bestiary, stub, folder):
    stub.refusals[b"a.png"] = [stub.problem(422, "truncated", "The photo ends before its picture does.")]
    done = bestiary("classify", folder, "--json", "--url", stub.url)
    assert done.returncode == 1
    assert len(lines(done)) == 5
    failed = [line for line in lines(done) if "error" in line]
    assert failed == [
        {
            "path": str(folder / "a.png"),
            "error": {
                "code": "truncated",
                "detail": "The photo ends before its picture does.",
                "retryable": False,
            },
        }
    ]
    assert len(stub.photos) == 5, "a bad photo is not sent again"


def test_the_table_names_a_failure_and_standard_error_explains_it(bestiary, stub, folder):
    stub.refusals[b"a.png"] = [stub.problem(422, "truncated", "The photo ends before its picture does.")]
    done = bestiary("classify", folder, "--url", stub.url)
    assert done.returncode == 1
    assert "failed: truncated" in done.stdout.splitlines()[1]
    assert f"{folder / 'a.png'}: The photo ends before its picture does.\n" in done.stderr


def test_a_file_that_vanished_is_a_failure_of_its_own(bestiary, stub, folder):
    (folder / "z.jpg").symlink_to(folder / "nowhere.jpg")
    done = bestiary("classify", folder, "--json", "--url", stub.url)
    assert done.returncode == 1
    codes = {line["path"]: line["error"]["code"] for line in lines(done) if "error" in line}
    assert codes == {str(folder / "z.jpg"): "unreadable"}


def test_an_overloaded_service_is_asked_again(bestiary, stub, folder):
    busy = stub.problem(429, "overloaded", "All places are taken.", retryable=True, Retry_After="0")
    stub.refusals[b"a.png"] = [busy, busy]
    done = bestiary("classify", folder / "a.png", "--json", "--url", stub.url)
    assert done.returncode == 0, done.stderr
    assert stub.photos == [b"a.png"] * 3
    assert "record" in lines(done)[0]


def test_the_exact_hint_counts_before_the_whole_seconds(bestiary, stub, folder):
    busy = stub.problem(429, "overloaded", "No place.", retryable=True, Retry_After="30", retry_after_ms="1")
    stub.refusals[b"a.png"] = [busy]
    done = bestiary("classify", folder / "a.png", "--timeout", "10", "--json", "--url", stub.url)
    assert done.returncode == 0, done.stderr
    assert len(stub.photos) == 2


def test_many_photos_are_a_batch_and_one_is_not(bestiary, stub, folder):
    bestiary("classify", folder / "a.png", "--json", "--url", stub.url)
    assert [query.get("priority") for query in stub.queries] == [None]
    bestiary("classify", folder, "--again", "--json", "--url", stub.url)
    assert {query.get("priority") for query in stub.queries[1:]} == {"batch"}


def test_after_its_retries_an_overload_is_reported(bestiary, stub, folder):
    busy = stub.problem(429, "overloaded", "All places are taken.", retryable=True, Retry_After="0")
    stub.refusals[b"a.png"] = [busy] * 9
    done = bestiary("classify", folder / "a.png", "--json", "--retries", "2", "--url", stub.url)
    assert done.returncode == 1
    assert len(stub.photos) == 3
    assert lines(done)[0]["error"] == {"code": "overloaded", "detail": "All places are taken.", "retryable": True}


def test_a_proxys_503_is_tried_again_and_then_told(bestiary, stub, folder):
    stub.refusals[b"a.png"] = [(503, {"Retry-After": "0"}, b"<html>away</html>")] * 2
    done = bestiary("classify", folder / "a.png", "--json", "--retries", "1", "--url", stub.url)
    assert done.returncode == 1
    assert len(stub.photos) == 2
    assert lines(done)[0]["error"]["code"] == "http_503"


def test_a_service_that_comes_up_late_is_waited_for(start, silent_stub, folder):
    process = start("classify", folder / "a.png", "--json", "--url", silent_stub.url)
    time.sleep(0.8)
    silent_stub.listen()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "record" in json.loads(out)


def test_nobody_at_the_url_is_exit_3_in_one_sentence(bestiary, silent_stub, folder):
    done = bestiary("classify", folder / "a.png", "--retries", "1", "--url", silent_stub.url)
    assert done.returncode == 3
    sentence = f"No Bestiary answers at {silent_stub.url}: start it with `make up`, or give --url."
    assert done.stderr.splitlines()[0] == sentence
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_answers_but_is_no_bestiary_is_said_so(bestiary, stub, folder):
    stub.refusals[b"a.png"] = [(404, {}, b"<html>nothing here</html>")]
    done = bestiary("classify", folder / "a.png", "--json", "--url", stub.url)
    assert done.returncode == 1
    assert lines(done)[0]["error"]["code"] == "unexpected_answer"
    assert "check --url" in lines(done)[0]["error"]["detail"]


def test_a_folder_without_photos_is_exit_2(bestiary, stub, tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    done = bestiary("classify", tmp_path, "--url", stub.url)
    assert done.returncode == 2
    assert "There is no photo in" in done.stderr
    assert stub.photos == []


def test_no_more_photos_than_asked_for_are_in_work_at_once(bestiary, stub, folder):
    lock, now, most = threading.Lock(), 0, 0

    def count(photo: bytes) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    stub.before_answer = count
    assert bestiary("classify", folder, "--concurrency", "2", "--url", stub.url).returncode == 0
    assert most == 2


def test_ctrl_c_keeps_what_was_done_and_exits_130(start, stub, folder):
    held = threading.Event()
    stub.before_answer = lambda photo: None if photo == b"a.png" else held.wait(30) and None
    process = start("classify", folder, "--json", "--concurrency", "2", "--url", stub.url)
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    held.set()
    assert process.returncode == 130
    assert first["path"] == str(folder / "a.png")
    assert out == b""
    assert err.decode() == "Stopped after 1 of 5 photos.\n"


def test_a_reader_that_leaves_ends_it_without_a_traceback(start, stub, folder):
    held = threading.Event()
    stub.before_answer = lambda photo: None if photo == b"a.png" else held.wait(30) and None
    process = start("classify", folder, "--json", "--url", stub.url)
    process.stdout.readline()
    process.stdout.close()
    held.set()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(30) == 1


def test_a_pipe_gets_whole_names_and_no_control_codes(bestiary, stub, tmp_path):
    name = "[red]" + "n" * 180 + "\x1b[31m.jpg"
    (tmp_path / name).write_bytes(b"photo")
    done = bestiary("classify", tmp_path / name, "--url", stub.url)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert name.replace("\x1b", "\N{REPLACEMENT CHARACTER}") in done.stdout


def test_a_name_that_is_not_utf_8_is_sent_all_the_same(bestiary, stub, tmp_path):
    (tmp_path / "li\udcf6n.jpg").write_bytes(b"photo")
    done = bestiary("classify", tmp_path, "--url", stub.url)
    assert done.returncode == 0, done.stderr
    assert stub.queries[0]["filename"] == "li\N{REPLACEMENT CHARACTER}n.jpg"
