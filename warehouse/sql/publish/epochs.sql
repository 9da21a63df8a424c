INSERT INTO mart.epochs BY NAME
SELECT $1 AS run_id, epoch, train_loss, valid_recall_10, valid_ndcg_10, seconds FROM frame
