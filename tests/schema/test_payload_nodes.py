"""Every path of a payload to an object loads the whole object, as a query does."""

from __future__ import annotations

from graphql import (
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)
from support.api import Api

from tallied.schema.build import schema

TYPES = build_schema(schema.as_str()).type_map
LISTS = {"comments"}


def all_of(name: str, deep: bool = True) -> str:
    """Return every field of a type that needs no argument, and of the objects right below it."""
    kind = TYPES[name]
    assert isinstance(kind, GraphQLObjectType)
    selection = []
    for field, definition in kind.fields.items():
        if any(map(is_required_argument, definition.args.values())):
            continue
        below = get_named_type(definition.type)
        if is_leaf_type(below):
            selection.append(field)
        elif deep and field not in LISTS:
            selection.append(f"{field} {{ {all_of(below.name, deep=False)} }}")
    return " ".join(selection)


async def test_edge_alone_loads_whole_node(api: Api) -> None:
    created = await api(f"""mutation {{ createThread(input: {{title: "Looms"}}) {{
        threadEdge {{ node {{ {all_of("Thread")} }} }} }} }}""")
    thread = created["threadEdge"]["node"]
    assert thread == await api(
        f"query($id: ID!) {{ thread(id: $id) {{ {all_of('Thread')} }} }}", id=thread["id"]
    )
    for title in ("Engines", "Mills"):
        created = await api(
            f"""mutation($t: String!) {{ createThread(input: {{
                title: $t, comment: {{authorName: "Ada", message: "one two"}}}}) {{
                threadEdge {{ node {{ {all_of("Thread")} }} }} comment {{ {all_of("Comment")} }}
            }} }}""",
            t=title,
        )
        comment = created["comment"]
        assert comment == await the_comment(api, comment["id"])
        assert created["threadEdge"]["node"]["wordCount"] == 2
    for change in (
        'addComment(input: {threadId: $to, authorName: "Ada", message: "one two three"})',
        "moveComment(input: {threadId: $to, commentId: $id})",
    ):
        input = "($to: ID!, $id: ID!)" if "$id" in change else "($to: ID!)"
        selection = f"{change} {{ commentEdge {{ node {{ {all_of('Comment')} }} }} }}"
        variables = {"to": thread["id"], "id": comment["id"]}
        moved = await api(
            f"mutation{input} {{ {selection} }}",
            **{name: variables[name] for name in variables if f"${name}:" in input},
        )
        node = moved["commentEdge"]["node"]
        assert node == await the_comment(api, node["id"])


async def the_comment(api: Api, id: str) -> object:
    """Return a comment by a query."""
    return await api(f"query($id: ID!) {{ comment(id: $id) {{ {all_of('Comment')} }} }}", id=id)
