"""Every number of the plan that is seen, with its source, and those of one kind."""

from tests.helpers.served import Server


def test_every_number_has_a_kind_and_a_source_and_kinds_are_counted(server: Server) -> None:
    told = server.get("/provenance.json").json
    assert sum(told["kinds"].values()) == len(told["numbers"])
    assert all(number["kind"] in told["kinds"] for number in told["numbers"])
    assert {"policy.floor_nodes", "fleet.start_up_s"} <= {number["field"] for number in told["numbers"]}


def test_a_kind_alone_is_what_the_sliders_of_each_plan_set(server: Server) -> None:
    def set_by_user(query: str) -> dict[str, str]:
        told = server.get(f"/provenance.json?pane.kind=set&{query}").json
        return {each["field"]: each["value"] for each in told["numbers"] if "flag" in each["source"]}

    assert set_by_user("") == {}
    assert set_by_user("fleet.start_up_s=120") == {"fleet.start_up_s": "120"}
    of_b = set_by_user("fleet.start_up_s=120&compare=1&b.policy.floor_nodes=3&pane.side=b")
    assert of_b == {"fleet.start_up_s": "120", "policy.floor_nodes": "3"}
    page = server.get("/provenance?pane.kind=set&fleet.start_up_s=120").text
    assert "flag --set fleet.start_up_s" in page
    assert '<input type="hidden" name="fleet.start_up_s" value="120">' in page


def test_what_is_no_kind_is_refused_in_a_line(server: Server) -> None:
    refused = server.get("/provenance.json?pane.kind=guessed")
    assert refused.status == 422
    assert refused.json["problem"] == (
        '"guessed" is not a kind of number; choose one of published, computed, fitted, inferred, assumed, set'
    )
