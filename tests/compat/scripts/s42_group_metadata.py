from common import report, topic
from consuming import consumer


def facts(metadata):
    return [
        metadata.group_id and metadata.group_id.startswith("group-"),
        metadata.generation_id >= 1,
        bool(metadata.member_id),
        metadata.group_instance_id,
        str(metadata.state),
    ]


alone = consumer()
alone_facts = facts(alone.group_metadata())
reader = consumer(topic, group_id=f"group-{topic}")
before = facts(reader.group_metadata())
while not reader.assignment():
    reader.poll(100)
stable = facts(reader.group_metadata())
fields = list(reader.group_metadata()._fields)
static = consumer(topic, group_id=f"group-static-{topic}", group_instance_id="one")
while not static.assignment():
    static.poll(100)
instance = facts(static.group_metadata())
for each in (alone, reader, static):
    each.close()
report(alone=alone_facts, before=before, stable=stable, instance=instance, fields=fields, log=None)
