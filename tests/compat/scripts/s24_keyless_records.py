from common import bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
spread = {producer.send(topic, b"%d" % i).get(20).partition for i in range(60)}
many = [producer.send(topic, b"many %d" % i) for i in range(3000)]
producer.flush()
report(log="keyless", spread=sorted(spread), done=sum(future.succeeded() for future in many))
producer.close()
